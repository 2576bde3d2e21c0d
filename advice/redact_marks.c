/* advice/redact_marks: what its form shows: keys, addresses, numbers with a check digit or behind a word that says what they are. Each rule looks
 * at one place and says how many bytes are its; rules are asked in the order of the table, the first takes. */
#include "advice/redact.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef struct place { const char *p; size_t n, at; } place;       /* a text and where in it */

static int at(const place *x, size_t i) { return x->at + i < x->n ? (unsigned char)x->p[x->at + i] : 0; }
static int before(const place *x) { return x->at ? (unsigned char)x->p[x->at - 1] : 0; }

enum { HEAD_MOST = 1024, VALUE_LOOK = 4096 };      /* of what may be looked at once more from every place */

/* Is the byte at i (of the whole text) of a letter, a digit or a line below? What is beyond ASCII counts from À on, but for punctuation. */
static bool of_word(const place *x, size_t i)
{
    unsigned char c = i < x->n ? (unsigned char)x->p[i] : 0;
    uint32_t cp = c;
    if (c < 0x80) return isalnum(c) || c == '_';
    while (i && ((unsigned char)x->p[i] & 0xC0) == 0x80) i--;
    q_utf8_next(x->p + i, x->n - i, &cp);
    return cp >= 0xC0 && !(cp >= 0x2000 && cp < 0x2C00) && !(cp >= 0x3000 && cp < 0x3040) && cp != 0xFFFD;
}
static bool wordy(const place *x, size_t k) { return of_word(x, x->at + k); }
static bool word_before(const place *x) { return x->at && of_word(x, x->at - 1); }
static bool starts(const place *x, size_t i, const char *s) { size_t k = strlen(s); return x->at + i + k <= x->n && memcmp(x->p + x->at + i, s, k) == 0; }
static bool starts_any_case(const place *x, size_t i, const char *s) { size_t k = strlen(s); return x->at + i + k <= x->n && strncasecmp(x->p + x->at + i, s, k) == 0; }

static size_t run(const place *x, size_t i, const char *beside)
{
    size_t k = i;
    for (int c; (c = at(x, k)) != 0 && (isalnum(c) || strchr(beside, c)); k++) {}
    return k - i;
}

/* ---- keys ---- */
static size_t private_key(const place *x)
{
    if (!starts(x, 0, "-----BEGIN ")) return 0;
    const char *head = memmem(x->p + x->at, x->n - x->at < 64 ? x->n - x->at : 64, "PRIVATE KEY", 11);
    if (!head) return 0;
    const char *end = memmem(head, (size_t)(x->p + x->n - head), "-----END ", 9);
    const char *close = end ? memmem(end + 9, (size_t)(x->p + x->n - end - 9), "-----", 5) : NULL;
    return close ? (size_t)(close + 5 - x->p) - x->at : x->n - x->at;       /* cut off: all that is left of it */
}

/* What makers say of their own keys' form; public scanners of secrets (gitleaks' and GitHub's lists of patterns) know the same. */
static const struct { const char *prefix, *beside; size_t least; } keys[] = {
    { "sk-ant-", "-_", 20 }, { "sk-", "-_", 20 }, { "sk_live_", "", 16 }, { "sk_test_", "", 16 }, { "rk_live_", "", 16 }, { "pk_live_", "", 16 }, { "whsec_", "", 20 }, { "ghp_", "", 30 },
    { "gho_", "", 30 }, { "ghu_", "", 30 }, { "ghs_", "", 30 }, { "ghr_", "", 30 }, { "github_pat_", "_", 22 }, { "glpat-", "-_", 16 }, { "xoxb-", "-", 16 }, { "xoxp-", "-", 16 },
    { "xoxa-", "-", 16 }, { "xoxs-", "-", 16 }, { "xapp-", "-", 16 }, { "AKIA", "", 16 }, { "ASIA", "", 16 }, { "AIza", "-_", 30 }, { "ya29.", "-_.", 20 }, { "hf_", "", 20 }, { "npm_", "", 30 },
    { "pypi-", "-_", 30 }, { "dop_v1_", "", 40 }, { "shpat_", "", 24 }, { "SG.", "-_.", 30 }, { "AGE-SECRET-KEY-", "", 40 }, { "gsk_", "", 30 }, { "r8_", "", 30 }, { "dckr_pat_", "-_", 20 },
    { "GOCSPX-", "-_", 24 }, { "1//0", "-_", 40 }, { "hvs.", "-_", 20 }, { "hvb.", "-_", 20 }, { "nvapi-", "-_", 40 }, { "pplx-", "", 32 }, { "xai-", "", 40 }, { "csk-", "", 40 }, { "tvly-", "-", 24 },
    { "rpa_", "", 30 }, { "fw_", "", 20 }, { "jina_", "_", 40 }, { "lsv2_pt_", "_", 32 }, { "lsv2_sk_", "_", 32 }, { "dapi", "-", 32 }, { "lin_api_", "", 32 }, { "ntn_", "", 40 }, { "secret_", "", 43 },
    { "glsa_", "_", 32 }, { "glc_", "-_=", 32 }, { "sbp_", "", 40 }, { "PMAK-", "-", 50 }, { "NRAK-", "", 24 }, { "figd_", "-_", 32 }, { "xoxe-", "-", 16 }, { "SK", "", 32 }, { "tskey-", "-", 24 },
    { "ATATT", "-_=", 60 }, { "ATCTT", "-_=", 60 }, { "rk_test_", "", 16 }, { "shpss_", "", 24 }, { "shpca_", "", 24 }, { "shppa_", "", 24 }, { "glptt-", "-_", 16 }, { "gldt-", "-_", 16 },
    { "glrt-", "-_", 16 }, { "sq0csp-", "-_", 40 }, { "sq0atp-", "-_", 20 }, { "xkeysib-", "-", 60 }, { "pul-", "", 40 }, { "phx_", "", 40 }, { "doo_v1_", "", 40 }, { "dor_v1_", "", 40 }, { "sntrys_", "-_=+/", 40 } };

static size_t known_key(const place *x)
{
    if (word_before(x)) return 0;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        size_t k = strlen(keys[i].prefix), more = starts(x, 0, keys[i].prefix) ? run(x, k, keys[i].beside) : 0;
        bool digit = false;
        for (size_t j = 0; j < more; j++) digit |= isdigit(at(x, k + j)) != 0;
        if (more >= keys[i].least && (digit || more >= 32)) return k + more;
    }
    return 0;
}

/* Three parts in base64url; the first is JSON, of a few fields. */
static size_t web_token(const place *x)
{
    if (word_before(x) || !starts(x, 0, "eyJ")) return 0;
    const place first = { x->p, x->n - x->at < HEAD_MOST ? x->n : x->at + HEAD_MOST, x->at };
    size_t a = run(&first, 0, "-_"), b, c;
    if (a < 10 || at(x, a) != '.' || (b = run(x, a + 1, "-_")) < 10 || at(x, a + 1 + b) != '.') return 0;
    c = run(x, a + b + 2, "-_");
    return c < 10 ? 0 : a + b + c + 2;
}

/* 123456789:AA…: of a bot of Telegram. */
static size_t bot_token(const place *x)
{
    size_t k = 0;
    if (word_before(x) && !(x->at >= 4 && memcmp(x->p + x->at - 4, "/bot", 4) == 0)) return 0;
    while (isdigit(at(x, k)) && k <= 10) k++;
    return k >= 8 && k <= 10 && at(x, k) == ':' && run(x, k + 1, "-_") == 35 ? k + 36 : 0;
}

/* ://NAME:PASSWORD@ */
static size_t in_url(const place *x)
{
    if (x->at < 3 || memcmp(x->p + x->at - 3, "://", 3) != 0) return 0;
    size_t k = 0, colon = SIZE_MAX;
    for (int c; (c = at(x, k)) != 0 && !isspace(c) && !strchr("/@<>\"'", c); k++)
        if (c == ':' && colon == SIZE_MAX) colon = k;
    return at(x, k) == '@' && colon != SIZE_MAX && k > colon + 1 ? k : 0;
}

/* Addresses whose last parts are all that one needs to write there. */
static size_t webhook(const place *x, size_t *skip)
{
    static const char *const hooks[] = { "hooks.slack.com/services/", "hooks.slack.com/workflows/", "discord.com/api/webhooks/", "discordapp.com/api/webhooks/", "outlook.office.com/webhook/" };
    for (size_t i = 0; i < sizeof hooks / sizeof *hooks; i++) {
        size_t k = starts_any_case(x, 0, hooks[i]) ? strlen(hooks[i]) : 0, m = k ? run(x, k, "-_/@") : 0;
        *skip = k;
        if (m >= 16) return m;
    }
    return 0;
}

/* Words before a secret. A line below within stands for one of "_", "-", a blank, or nothing; at the beginning for itself. spoken: people write of
 * it in sentences, with words between it and the colon, or none. least: bytes of the value, where the word alone says little. */
static const struct { const char *word; bool spoken; size_t least; } secret_words[] = {
    { "password", true, 0 }, { "passwort", true, 0 }, { "passwd", true, 0 }, { "pass_phrase", true, 0 }, { "pass_code", true, 0 }, { "pwd", false, 0 }, { "_pass", false, 0 }, { "db_pass", false, 0 },
    { "user_pass", false, 0 }, { "secret", false, 0 }, { "secret_key", false, 0 }, { "secret_key_base", false, 0 }, { "secret_access_key", false, 0 }, { "client_secret", false, 0 }, { "token", false, 0 },
    { "auth_token", false, 0 }, { "access_token", false, 0 }, { "api_key", false, 0 }, { "auth_key", false, 0 }, { "access_key", false, 0 }, { "account_key", false, 0 }, { "private_key", false, 0 },
    { "encryption_key", false, 0 }, { "signing_key", false, 0 }, { "master_key", false, 0 }, { "session_id", false, 0 }, { "sess_id", false, 0 }, { "_key", false, 20 }, { "signature", false, 20 },
    { "пароль", true, 0 }, { "Пароль", true, 0 }, { "ПАРОЛЬ", true, 0 }, { "токен", false, 0 }, { "Токен", false, 0 }, { "секрет", false, 0 }, { "Секрет", false, 0 }, { "ключ API", false, 0 },
    { "API-ключ", false, 0 } };

/* How many bytes of the text are this word; 0: none. */
static size_t word_here(const place *x, const char *w)
{
    size_t k = 0;
    for (const char *p = w; *p; p++) {
        if (*p == '_' && p > w) k += at(x, k) && strchr("_- ", at(x, k)) ? 1 : 0;
        else if (tolower(at(x, k)) == tolower((unsigned char)*p)) k++;
        else return 0;
    }
    return k;
}

/* A call, an index, a place to be filled in: something opens and closes. */
static bool encloses(const char *v, size_t n)
{
    static const char pair[] = "()<>{}[]";
    for (size_t i = 0; i < sizeof pair - 1; i += 2) {
        const char *open = memchr(v, pair[i], n);
        if (open && memchr(open, pair[i + 1], n - (size_t)(open - v))) return true;
    }
    return n && strchr("<{[(", *v);
}

/* Would somebody choose it as a password, or a machine make it? Not a word of prose, a call, a variable, a row of stars. */
enum told { BARE, LOOSE, TIGHT };            /* nothing between the word and it; a colon or words; no blank at all */
static bool secretive(const char *v, size_t n, enum told how)
{
    bool digit = false, sign = false, upper = false, lower = false, same = true, tight = how == TIGHT;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)v[i];
        digit |= isdigit(c) != 0;
        upper |= isupper(c) != 0;
        lower |= islower(c) != 0;
        sign |= strchr("!@#$%^&*+=/?~", c) != NULL;
        same &= c == (unsigned char)v[0];
        if (c == '\\') return false;
    }
    if (same || n < 4 || *v == '$' || encloses(v, n) ||
        strncasecmp(v, "your", 4) == 0 || strncasecmp(v, "null", 4) == 0 || strncasecmp(v, "none", 4) == 0 || strncasecmp(v, "true", 4) == 0 || strncasecmp(v, "http", 4) == 0) return false;
    if (how == BARE) return n >= 8 && digit && (upper || lower) && (sign || (upper && lower));
    return digit ? n >= 6 || (tight && lower) : n >= 6 && (sign || (tight && (upper || lower)) || (upper && lower && n >= 10));
}

/* What joins a word with its value, from k on: how, and where the value begins, its quote included. 0: nothing does. */
static size_t joined(const place *x, size_t k, bool spoken, enum told *how)
{
    bool option = x->at >= 2 && memcmp(x->p + x->at - 2, "--", 2) == 0, tag = x->at && before(x) == '<';
    size_t word = k, words = 0;
    if (at(x, k) == '\\' && at(x, k + 1) == '"') k++;
    if (at(x, k) == '"' || at(x, k) == '\'') k++;
    *how = at(x, k) == ' ' ? LOOSE : TIGHT;
    if (tag && at(x, k) == '>') return k + 1;
    while (at(x, k) == ' ') k++;
    if (starts(x, k, "is ") || starts(x, k, "— ")) k += starts(x, k, "is ") ? 3 : 4, *how = LOOSE;
    else if (starts(x, k, ":=") || starts(x, k, "=>")) k += 2, *how = LOOSE;
    else if (at(x, k) == ':' || at(x, k) == '=') *how = *how == TIGHT && at(x, k) == '=' ? TIGHT : LOOSE, k++;
    else if (option && *how == LOOSE) return *how = TIGHT, k;
    else if (!spoken || k != word + 1) return 0;
    else {                                   /* "for the mail: X", or X itself */
        size_t m = k;
        while (m < k + 48 && (wordy(x, m) || (at(x, m) == ' ' && ++words < 5))) m++;
        *how = at(x, m) == ':' && at(x, m + 1) == ' ' ? LOOSE : BARE;
        if (*how == LOOSE) k = m + 1;
    }
    while (at(x, k) == ' ') k++;
    return k;
}

/* password = VALUE, "token": "VALUE", пароль: VALUE, <password>VALUE, --password VALUE. Only the value goes. */
static size_t assigned(const place *x, size_t *skip)
{
    size_t k = 0, least = 0;
    bool spoken = false, quoted = false;
    enum told how;
    for (size_t i = 0; i < sizeof secret_words / sizeof *secret_words; i++) {        /* the longest: secret_key is no secret with a key behind */
        size_t w = word_here(x, secret_words[i].word);
        if (w > k) k = w, least = secret_words[i].least, spoken = secret_words[i].spoken;
    }
    if (!k || !(k = joined(x, k, spoken, &how))) return 0;
    if (at(x, k) == '\\' && at(x, k + 1) == '"') k++;
    int q = at(x, k);
    if (q == '"' || q == '\'' || q == '`') quoted = true, k++;
    size_t v = k, look;
    for (int c; (c = at(x, k)) != 0 && !isspace(c) && !strchr("\"'`,", c) && !(c == '\\' && at(x, k + 1) == '"') && !(how == TIGHT && strchr("&;<", c)); k++)
        if (k - v == VALUE_LOOK && !secretive(x->p + x->at + v, VALUE_LOOK, how)) return 0;
    while (!quoted && k > v && strchr(".;:?)", at(x, k - 1)) && !(at(x, k - 1) == ')' && memchr(x->p + x->at + v, '(', k - v))) k--;
    if (quoted && how == LOOSE && k - v >= 8) how = TIGHT;
    look = k - v < VALUE_LOOK ? k - v : VALUE_LOOK;
    if (look < least || !secretive(x->p + x->at + v, look, how)) return 0;
    *skip = v;
    return k - v;
}

/* curl -u NAME:VALUE */
static size_t of_user(const place *x, size_t *skip)
{
    size_t k = starts(x, 0, " -u ") ? 4 : starts(x, 0, " --user ") ? 8 : 0, v = 0;
    if (!k) return 0;
    k += at(x, k) == '"' || at(x, k) == '\'';
    for (int c; (c = at(x, k)) != 0 && k < 256 && !isspace(c) && c != '"' && c != '\''; k++)
        if (c == ':' && !v) v = k + 1;
    *skip = v;
    return v && v + 4 <= k ? k - v : 0;
}

/* mysql -pVALUE, sshpass -p VALUE: in the line of such a command. */
static size_t of_command(const place *x, size_t *skip)
{
    static const struct { const char *name; bool apart; } commands[] = { { "mysql", false }, { "mysqldump", false }, { "mysqladmin", false }, { "mariadb", false }, { "mariadb-dump", false }, { "sshpass", true } };
    size_t line = x->at, k = 3;
    if (!starts(x, 0, " -p")) return 0;
    while (line && x->at - line < 256 && !strchr("\n;|&", x->p[line - 1])) line--;
    bool found = false, apart = false;
    for (size_t i = 0; i < sizeof commands / sizeof *commands && !found; i++) {
        size_t n = strlen(commands[i].name);
        for (const char *p = x->p + line, *end = x->p + x->at; !found && (p = memmem(p, (size_t)(end - p), commands[i].name, n)); p += n)
            found = !(p > x->p && of_word(x, (size_t)(p - x->p) - 1)) && (p + n == end || p[n] == ' '), apart = commands[i].apart;
    }
    if (!found) return 0;
    if (apart && at(x, k) == ' ') k++;
    int quote = at(x, k) == '"' || at(x, k) == '\'' ? at(x, k++) : 0;
    *skip = k;
    while (at(x, k) && at(x, k) != '\n' && k - *skip < 256 && at(x, k) != quote && (quote || !isspace(at(x, k)))) k++;
    return k - *skip >= 4 && *(x->p + x->at + *skip) != '$' ? k - *skip : 0;
}

/* Words that no list of words for passphrases has (EFF's long list, 2016-07-19, has none of fewer than three letters), and prose always does. */
static bool of_prose(const char *p, size_t n)
{
    static const char *const words[] = { "the", "and", "you", "your", "that", "this", "with", "for", "are", "was", "not", "can", "will", "from", "must", "should", "have", "has", "when", "which", "для", "что", "это", "как", "она", "его",
                                         "при", "или", "чтобы", "нужно", "надо", "был", "будет", "которую", "вашу", "свою" };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strlen(words[i]) == n && strncasecmp(words[i], p, n) == 0) return true;
    return n < 3;
}

/* passphrase: four or more words and nothing else up to the end of the line or the quote. */
static size_t spoken_words(const place *x, size_t *skip)
{
    static const char *const heads[] = { "passphrase", "pass phrase", "seed phrase", "recovery phrase", "mnemonic phrase", "mnemonic", "кодовая фраза", "Кодовая фраза", "парольная фраза", "Парольная фраза", "сид-фраза", "Сид-фраза",
                                         "seed-фраза" };
    size_t k = 0, v;
    int words = 0;
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        if (starts_any_case(x, 0, heads[i]) && strlen(heads[i]) > k) k = strlen(heads[i]);
    if (!k || word_before(x)) return 0;
    if (at(x, k) == '"') k++;
    while (at(x, k) == ' ') k++;
    if (starts(x, k, "is ")) k += 3;
    if (at(x, k) == ':' || at(x, k) == '=') k++;
    else if (!starts(x, k - 3, "is ")) return 0;
    while (at(x, k) == ' ') k++;
    int quote = at(x, k) == '"' || at(x, k) == '\'' || at(x, k) == '`' ? at(x, k++) : 0;
    for (v = k; words < 32; words++) {
        size_t n = 0;
        while (wordy(x, k + n) && !isdigit(at(x, k + n))) n++;
        if (!n || of_prose(x->p + x->at + k, n)) return 0;
        k += n;
        if (at(x, k) != ' ' && at(x, k) != '-') break;
        k++;
    }
    int end = at(x, k);
    *skip = v;
    return words >= 3 && words < 32 && (quote ? end == quote : !end || end == '\n' || end == '\r' || (end == '.' && (!at(x, k + 1) || at(x, k + 1) == '\n'))) ? k - v : 0;
}

static size_t bearer(const place *x, size_t *skip)
{
    size_t k = starts_any_case(x, 0, "bearer ") ? 7 : starts_any_case(x, 0, "apikey ") ? 7 : starts(x, 0, "Basic ") || starts_any_case(x, 0, "token ") ? 6 : 0, m = k && !word_before(x) ? run(x, k, "-_.=+/~") : 0;
    bool digit = false;
    for (size_t i = 0; i < m; i++) digit |= isdigit(at(x, k + i)) != 0;
    *skip = k;
    return m >= 16 && digit ? m : 0;
}

/* ---- addresses of the net ---- */
static bool local_char(const place *x, size_t i) { return of_word(x, i) || (x->p[i] && strchr(".%+-", x->p[i])); }

/* Asked at the sign: goes back over what stands before it. */
static size_t email(const place *x, size_t *back)
{
    if (at(x, 0) != '@') return 0;
    size_t b = 0, k = 1, dot = 0;
    while (b < x->at && b < 64 && local_char(x, x->at - b - 1)) b++;
    while (b && strchr(".-+", x->p[x->at - b])) b--;
    for (int c; (c = at(x, k)) != 0 && k < 255 && (c == '-' || c == '.' || (c != '_' && wordy(x, k))); k++)
        if (c == '.' && k > 1) dot = k;
    while (k > 1 && strchr(".-", at(x, k - 1))) k--;
    if (dot >= k) for (dot = k - 1; dot > 1 && at(x, dot) != '.'; dot--) {}
    if (!b || dot < 2 || k - dot < 3 || isdigit(at(x, dot + 1))) return 0;
    if (b == 3 && memcmp(x->p + x->at - 3, "git", 3) == 0) return 0;         /* where code lies, and nobody's */
    *back = b;
    return b + k;
}

/* Four numbers that are a version, or a place in a text: by the word in front, or as package managers join them (foo-1.2.3.4, foo>=1.2.3.4). */
static bool versions(const place *x, size_t k)
{
    static const char *const words[] = { "version", "Version", "VERSION", "ver", "Ver", "v", "release", "Release", "версия", "Версия", "версии", "версию", "OID", "section", "Section", "chapter",
        "Chapter", "раздел", "Раздел",
                                         "раздела", "разделе", "пункт", "Пункт", "пункта" };
    size_t from = x->at, skip = 0;
    int b = before(x), c = from > 1 ? (unsigned char)x->p[from - 2] : 0;
    if ((at(x, k) == '-' && isalpha(at(x, k + 1))) || (b && strchr("~^", b)) || (b == '-' && isalpha(c)) || (b == '=' && c && strchr("=<>~!", c))) return true;
    while (from && skip < 4 && strchr(" .:=\"'", x->p[from - 1])) from--, skip++;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t m = strlen(words[i]);
        if (skip && from >= m && memcmp(x->p + from - m, words[i], m) == 0 && !(from > m && of_word(x, from - m - 1))) return true;
    }
    return false;
}

static size_t four_bytes(const place *x)
{
    int v[4], n = 0;
    size_t k = 0;
    if (word_before(x) || before(x) == '.' || (before(x) == '/' && !(x->at > 1 && x->p[x->at - 2] == '/')) || !isdigit(at(x, 0))) return 0;
    for (; n < 4; n++) {
        size_t from = k;
        for (v[n] = 0; isdigit(at(x, k)) && k - from < 3; k++) v[n] = v[n] * 10 + at(x, k) - '0';
        if (k == from || v[n] > 255 || (k - from > 1 && at(x, from) == '0')) return 0;
        if (n < 3 && at(x, k++) != '.') return 0;
    }
    if (wordy(x, k) || (at(x, k) == '.' && isdigit(at(x, k + 1)))) return 0;
    if (versions(x, k)) return 0;
    bool nobodys = v[0] == 0 || v[0] == 10 || v[0] == 127 || v[0] >= 224 || (v[0] == 192 && v[1] == 168) || (v[0] == 172 && v[1] >= 16 && v[1] < 32);
    return nobodys ? 0 : k;
}

static size_t eight_groups(const place *x)
{
    size_t k = 0, digits = 0;
    int groups = 0;
    bool gap = false, letter = false;
    if (word_before(x) || before(x) == ':' || !isxdigit(at(x, 0))) return 0;
    for (int c; (c = at(x, k)) != 0 && (isxdigit(c) || c == ':'); k++) {
        if (c == ':') {
            gap |= at(x, k + 1) == ':';
            if (digits > 4) return 0;
            groups += digits > 0;
            digits = 0;
        } else digits++, letter |= isalpha(c) != 0;
    }
    groups += digits > 0;
    if (digits > 4 || wordy(x, k) || at(x, k - 1) == ':') return 0;
    return groups == 8 || (gap && groups >= 4 && groups < 8 && letter) ? k : 0;
}

/* ---- numbers ---- */
/* Digits with one sign between: how many bytes they take and how many there are. */
static size_t digits_at(const place *x, size_t i, const char *between, char *out, int most, int *n)
{
    size_t k = i, end = i;
    *n = 0;
    for (int c; (c = at(x, k)) != 0; k++) {
        if (isdigit(c)) {
            if (*n == most) return 0;
            out[(*n)++] = (char)c;
            end = k + 1;
        } else if (!strchr(between, c) || (!isdigit(at(x, k + 1)) && !strchr("( ", at(x, k + 1) ? at(x, k + 1) : '!')) ) break;
    }
    return end - i;
}

static bool luhn(const char *d, int n)
{
    int sum = 0;
    for (int i = 0; i < n; i++) {
        int v = d[n - 1 - i] - '0';
        if (i % 2) v = v * 2 > 9 ? v * 2 - 9 : v * 2;
        sum += v;
    }
    return sum % 10 == 0;
}

/* Whose numbers begin so, and how long they are (bits of lengths): ISO/IEC 7812 issuers as en.wikipedia.org/wiki/Payment_card_number lists them,
 * from memory of it, 2026-11-28. What is as long but begins otherwise is an order, a time or somebody's id. */
static const struct { int from, to; unsigned lengths; } issuers[] = {     /* by the first four digits */
    { 2200, 2204, 1u << 16 | 1u << 17 | 1u << 18 | 1u << 19 }, { 2221, 2720, 1u << 16 }, { 3000, 3059, 1u << 14 }, { 3400, 3499, 1u << 15 }, { 3528, 3589, 1u << 16 }, { 3600, 3699, 1u << 14 },
    { 3700, 3799, 1u << 15 }, { 3800, 3999, 1u << 14 }, { 4000, 4999, 1u << 13 | 1u << 16 }, { 5018, 5038, 1u << 16 }, { 5100, 5599, 1u << 16 }, { 5600, 5899, 1u << 16 }, { 6011, 6011, 1u << 16 },
    { 6200, 6299, 1u << 16 | 1u << 19 }, { 6304, 6304, 1u << 16 }, { 6440, 6599, 1u << 16 }, { 6759, 6763, 1u << 16 },
};

/* How digits stand: all in a row, or in the groups that are embossed (4-4-4-4-3, 4-6-5, 4-6-4), one sign between all of them. */
static bool embossed(const place *x, size_t k, int n)
{
    static const char *const forms[] = { "4444", "44443", "465", "464", "445", "44441", "44442" };
    char form[24] = "";
    size_t groups = 0, from = 0;
    int sign = 0;
    if (k == (size_t)n) return true;
    for (size_t i = 0; i <= k && groups + 1 < sizeof form; i++) {
        if (i < k && isdigit(at(x, i))) continue;
        if (i - from > 9) return false;
        form[groups++] = (char)('0' + (i - from));
        if (i < k && sign && sign != at(x, i)) return false;
        if (i < k) sign = at(x, i);
        from = i + 1;
    }
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (strcmp(forms[i], form) == 0) return true;
    return false;
}

static size_t card(const place *x)
{
    char d[20];
    int n;
    if (word_before(x) || strchr(".-", before(x) ? before(x) : ' ') || !strchr("23456", at(x, 0) ? at(x, 0) : '0')) return 0;
    size_t k = digits_at(x, 0, " -", d, 19, &n);
    bool same = true, issued = false;
    for (int i = 1; i < n; i++) same &= d[i] == d[0];
    if (!k || n < 13 || wordy(x, k) || same || !luhn(d, n) || !embossed(x, k, n)) return 0;
    int head = (d[0] - '0') * 1000 + (d[1] - '0') * 100 + (d[2] - '0') * 10 + d[3] - '0';
    for (size_t i = 0; i < sizeof issuers / sizeof *issuers; i++) issued |= head >= issuers[i].from && head <= issuers[i].to && issuers[i].lengths >> n & 1;
    return issued ? k : 0;
}

static size_t iban(const place *x)
{
    char c[40];
    int n = 0, rest = 0;
    size_t k = 0, end = 0;
    if (word_before(x) || !isupper(at(x, 0)) || !isupper(at(x, 1)) || !isdigit(at(x, 2)) || !isdigit(at(x, 3))) return 0;
    for (int v; (v = at(x, k)) != 0 && n < 34 && (isupper(v) || isdigit(v) || (v == ' ' && (isupper(at(x, k + 1)) || isdigit(at(x, k + 1))))); k++)
        if (v != ' ') {
            c[n++] = (char)v;
            end = k + 1;
            if (n < 15) continue;
            rest = 0;
            for (int i = 0; i < n; i++) {
                int ch = c[(i + 4) % n];
                rest = isdigit(ch) ? (rest * 10 + ch - '0') % 97 : (rest * 100 + ch - 'A' + 10) % 97;
            }
            if (rest == 1 && !wordy(x, end)) return end;
        }
    return 0;
}

static size_t phone(const place *x)
{
    char d[16];
    int n, c = at(x, 0), signs = 0;
    if (word_before(x) || strchr(".-/+", before(x) ? before(x) : ' ') || !(c == '+' || c == '(' || isdigit(c))) return 0;
    size_t from = c == '+' || c == '(', k = digits_at(x, from, " -().", d, 15, &n) + from;
    if (k == from || !isdigit(at(x, from)) || (c == '(' && at(x, 4) != ')') || wordy(x, k) || (at(x, k) == '.' && isdigit(at(x, k + 1)))) return 0;
    for (size_t i = from; i < k; i++) signs += !isdigit(at(x, i));
    if (c == '+') return n >= 10 ? k : 0;
    bool bracket = memchr(x->p + x->at, '(', k) != NULL;
    if (n == 11 && (d[0] == '8' || d[0] == '7') && strchr("3489", d[1])) return signs >= 2 || d[1] == '9' ? k : 0;
    if (n == 11 && d[0] == '1') return d[1] >= '2' && d[4] >= '2' && (bracket || (at(x, 5) == at(x, 9) && strchr("-.", at(x, 5)) && k == 14)) ? k : 0;
    /* 555-223-4567, (555) 223-4567: an exchange begins with 2 to 9 */
    return n == 10 && d[0] >= '2' && d[3] >= '2' && (bracket || (at(x, 3) == at(x, 7) && strchr("-.", at(x, 3)) && k == 12)) ? k : 0;
}

static const char *const number_words[] = { "passport", "паспорт", "Паспорт", "ИНН", "СНИЛС", "SSN", "ssn", "social security", "Social Security", "account", "Account", "счёт", "счет", "Счёт", "полис", "Полис",
                                            "driver's license", "driver's licence", "водительск", "licence no", "license no", "insurance", "policy", "tax id", "Tax ID", "VIN", "серия", "Серия", "серии", "IMEI" };

/* "4510 номер 123456": where the second number begins; 0: there is none. */
static size_t second_number(const place *x, size_t k)
{
    static const char *const joins[] = { "номер", "Номер", "№", "N", "No.", "no.", "number" };
    while (at(x, k) && strchr(" ,", at(x, k))) k++;
    for (size_t i = 0; i < sizeof joins / sizeof *joins; i++) {
        size_t m = k + strlen(joins[i]);
        if (!starts(x, k, joins[i])) continue;
        while (at(x, m) && strchr(" :", at(x, m))) m++;
        if (isdigit(at(x, m))) return m;
    }
    return 0;
}

/* A number behind a word that says what it is. */
static size_t told_number(const place *x, size_t *skip)
{
    char d[24];
    int n = 0;
    size_t k = 0, got = 0;
    for (size_t i = 0; i < sizeof number_words / sizeof *number_words && !k; i++)
        if (starts_any_case(x, 0, number_words[i]) && !word_before(x)) k = strlen(number_words[i]);
    if (!k) return 0;
    for (size_t end = k + 40; k < end && at(x, k) && (!strchr(".!?\n;", at(x, k)) || (at(x, k) == '.' && k > 1 && starts_any_case(x, k - 2, "no"))); k++)
        if (isdigit(at(x, k)) && !wordy(x, k - 1) && (got = digits_at(x, k, " -", d, 22, &n)) != 0) break;
    *skip = k;
    size_t next = got && n < 6 ? second_number(x, k + got) : 0;
    if (next) {                          /* a series, then a number: both go */
        int first = n;
        got = digits_at(x, next, " -", d, 22, &n);
        n = got ? n + first : 0;
        got += next - k;
    }
    return n >= 6 && !wordy(x, k + got) ? got : 0;
}

/* 123-45-6789; 123-456-789 00; an account of a Russian bank. */
static size_t formed_number(const place *x)
{
    static const char *const forms[] = { "ddd-dd-dddd", "ddd-ddd-ddd dd", "40ddddddddddddddd", "40d dd ddd d dddd ddddddd" };
    if (word_before(x) || strchr(".-+", before(x) ? before(x) : ' ') || !isdigit(at(x, 0))) return 0;
    for (size_t f = 0; f < sizeof forms / sizeof *forms; f++) {
        size_t k = 0;
        while (forms[f][k] && (forms[f][k] == 'd' ? isdigit(at(x, k)) : at(x, k) == forms[f][k])) k++;
        if (forms[f][k]) continue;
        if (f == 2) while (isdigit(at(x, k))) k++;
        if (!wordy(x, k) && at(x, k) != '-' && (f != 2 || k == 20)) return k;
    }
    return 0;
}

/* ---- streets ---- */
static bool capital(const place *x, size_t k) { int c = at(x, k), d = at(x, k + 1); return isupper(c) || (c == 0xD0 && d >= 0x90 && d <= 0xAF) || (c == 0xD0 && d == 0x81); }
static size_t word_len(const place *x, size_t k) { size_t i = k; while (wordy(x, i) || (at(x, i) == '-' && wordy(x, i + 1))) i++; return i - k; }

static size_t street_en(const place *x)
{
    static const char *const ends[] = { "Street", "St", "Avenue", "Ave", "Road", "Rd", "Boulevard", "Blvd", "Lane", "Ln", "Drive", "Dr", "Court", "Ct", "Square", "Terrace", "Place", "Way" };
    size_t k = 0;
    if (word_before(x) || before(x) == '.' || !isdigit(at(x, 0))) return 0;
    while (isdigit(at(x, k)) && k < 6) k++;
    if (isalpha(at(x, k)) && !isalpha(at(x, k + 1))) k++;
    for (int words = 0; words < 4 && at(x, k) == ' ' && capital(x, k + 1); words++) {
        size_t w = word_len(x, k + 1);
        for (size_t i = 0; words && i < sizeof ends / sizeof *ends; i++)
            if (w == strlen(ends[i]) && starts(x, k + 1, ends[i])) return k + 1 + w;
        k += 1 + w + (at(x, k + 1 + w) == '.' && w <= 2);
    }
    return 0;
}

static size_t house_ru(const place *x, size_t k)
{
    static const char *const marks[] = { "дом ", "д. ", "д.", "корпус ", "корп. ", "к. ", "строение ", "стр. ", "квартира ", "кв. ", "кв.", "офис ", "оф. " };
    size_t end = 0;
    for (;;) {
        size_t j = k;
        while (at(x, j) == ',' || at(x, j) == ' ') j++;
        for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
            if (starts(x, j, marks[i])) {
                j += strlen(marks[i]);
                break;
            }
        if (j == k || !isdigit(at(x, j))) return end;
        while (isdigit(at(x, j)) || at(x, j) == '/') j++;
        size_t letter = at(x, j) == 0xD0 || at(x, j) == 0xD1 ? 2 : 0;
        if (letter && !wordy(x, j + letter)) j += letter;
        if (wordy(x, j)) return end;
        end = k = j;
    }
}

static size_t street_ru(const place *x)
{
    static const char *const kinds[] = { "улица", "улице", "улицы", "улицу", "ул.", "проспект", "проспекте", "просп.", "пр-т", "пр.", "переулок", "переулке", "пер.", "бульвар", "бульваре", "б-р", "шоссе", "набережная",
                                         "набережной", "наб.", "площадь", "площади", "пл.", "проезд", "проезде" };
    size_t k = 0;
    if (word_before(x)) return 0;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (starts_any_case(x, 0, kinds[i]) && (at(x, strlen(kinds[i])) == ' ' || kinds[i][strlen(kinds[i]) - 1] == '.')) k = strlen(kinds[i]);
    if (!k && starts(x, 0, "Улица ")) k = strlen("Улица");
    if (!k) return 0;
    if (at(x, k) == ' ') k++;
    if (!capital(x, k)) return 0;
    for (int words = 0; words < 3; words++) {
        k += word_len(x, k);
        size_t house = house_ru(x, k);
        if (house) return house;
        if (at(x, k) != ' ') return 0;
        k++;
    }
    return 0;
}

/* ---- all ---- */
/* plain: from here on; ahead: so many bytes behind here; behind: it began so many bytes before. */
static const struct { enum redact_kind kind; size_t (*plain)(const place *); size_t (*ahead)(const place *, size_t *skip); size_t (*behind)(const place *, size_t *back); } rules[] = {
    { RED_SECRET, private_key, NULL, NULL }, { RED_SECRET, known_key, NULL, NULL }, { RED_SECRET, web_token, NULL, NULL }, { RED_SECRET, bot_token, NULL, NULL }, { RED_SECRET, in_url, NULL, NULL },
    { RED_SECRET, NULL, webhook, NULL },
    { RED_SECRET, NULL, assigned, NULL }, { RED_SECRET, NULL, bearer, NULL }, { RED_SECRET, NULL, of_user, NULL }, { RED_SECRET, NULL, of_command, NULL }, { RED_SECRET, NULL, spoken_words, NULL }, { RED_EMAIL, NULL, NULL, email }, { RED_IBAN, iban, NULL, NULL }, { RED_ADDRESS, street_en, NULL, NULL },
    { RED_ADDRESS, street_ru, NULL, NULL }, { RED_NUMBER, NULL, told_number, NULL }, { RED_NUMBER, formed_number, NULL, NULL }, { RED_CARD, card, NULL, NULL }, { RED_IP, four_bytes, NULL, NULL },
    { RED_IP, eight_groups, NULL, NULL }, { RED_PHONE, phone, NULL, NULL } };

void red_find_marks(const char *text, size_t n, red_spans *out)
{
    place x = { text, n, 0 };
    for (size_t done = 0; x.at < n;) {
        size_t next = x.at + 1;
        for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
            size_t off = 0, k = rules[i].plain ? rules[i].plain(&x) : rules[i].ahead ? rules[i].ahead(&x, &off) : rules[i].behind(&x, &off);
            if (!k) continue;
            size_t from = rules[i].behind ? x.at - off : x.at + off;
            if (from < done || from + k > n) continue;
            red_spans_add(out, (red_span){ from, from + k, rules[i].kind, 0 });
            done = next = from + k;
            break;
        }
        x.at = next;
    }
}
