/* advice/redact: planted secrets, numbers, addresses and names in both languages leave; what only looks alike stays. Keys are put together here, so that
 * no file holds one. */
#include "advice/redact.h"
#include "tests/test.h"

static char *redacted(redactor *r, const char *text)
{
    q_buf b = {0};
    redact_learn(r, text, strlen(text));
    redact_text(r, text, strlen(text), &b);
    return q_buf_take(&b);
}

static const char *const frames[] = { "Use %s for that.", "%s", "Вот это: %s — и дальше.", "first line\n%s\nlast line", "(%s)", "«%s», — сказал он" };
enum { FRAMES = sizeof frames / sizeof *frames };

static int said;

typedef struct row { const char *text, *want; } row;

/* By a redactor that has seen nothing else. */
static void becomes(const row *one)
{
    redactor *r = redact_new(NULL, 0);
    char *got = redacted(r, one->text);
    said++;
    CHECK_STR(got, one->want);
    free(got);
    redact_free(r);
}

/* The value is gone from each frame, the word of its kind stands there once, and the rest is as it was. */
static void goes(const char *value, enum redact_kind kind)
{
    for (int i = 0; i < FRAMES; i++) {
        redactor *r = redact_new(NULL, 0);
        char *text = q_printf(frames[i], value), *word = q_printf("[%s-1]", redact_word(kind)), *want = q_printf(frames[i], word), *got = redacted(r, text);
        said++;
        CHECK_STR(got, want);
        CHECK_INT(redact_of(r, kind)->n, 1);
        free(text);
        free(word);
        free(want);
        free(got);
        redact_free(r);
    }
}

static void keys_go(void)
{
    static const struct { const char *prefix; int n; } keys[] = { { "sk-", 48 }, { "sk-ant-", 40 }, { "ghp_", 36 }, { "gho_", 36 }, { "github_pat_", 60 }, { "glpat-", 20 }, { "xoxb-", 40 }, { "AKIA", 16 }, { "AIza", 35 },
                                                                { "hf_", 34 }, { "npm_", 36 }, { "sk_live_", 24 }, { "ya29.", 40 }, { "dop_v1_", 64 }, { "SG.", 60 },
                                                                { "GOCSPX-", 28 }, { "1//0", 60 }, { "hvs.", 90 }, { "nvapi-", 64 }, { "pplx-", 48 }, { "xai-", 80 }, { "dapi", 32 }, { "lin_api_", 40 }, { "ntn_", 46 },
                                                                { "glsa_", 41 }, { "sbp_", 40 }, { "PMAK-", 59 }, { "NRAK-", 27 }, { "figd_", 40 }, { "xoxe-", 62 }, { "tvly-", 32 }, { "rpa_", 43 }, { "SK", 32 },
                                                                { "tskey-", 49 }, { "ATATT", 180 } };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        q_buf b = {0};
        q_buf_puts(&b, keys[i].prefix);
        for (int k = 0; k < keys[i].n; k++) q_buf_putc(&b, "A7bQ2"[k % 5] & (char)(strcmp(keys[i].prefix, "AKIA") ? -1 : (k % 5 == 2 ? ~32 : -1)));
        goes(b.p, RED_SECRET);
        q_buf_free(&b);
    }
    char *jwt = q_printf("eyJ%s.%s.%s", "hbGciOiJIUzI1NiJ9", "eyJzdWIiOiIxMjM0NTY3ODkwIn0", "dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P");
    goes(jwt, RED_SECRET);
    free(jwt);
    char *pem = q_printf("-----BEGIN %s KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END %s KEY-----", "RSA PRIVATE", "RSA PRIVATE");
    goes(pem, RED_SECRET);
    free(pem);
}

static void what_stands_behind_a_word_goes(void)
{
    static const row rows[] = {
        { "mysql -u root -phunter2x shop", "mysql -u root -p[SECRET-1] shop" }, { "mysqldump -p'open sesame' shop", "mysqldump -p'[SECRET-1]' shop" }, { "sshpass -p hunter2x ssh me@localhost", "sshpass -p [SECRET-1] ssh me@localhost" },
        { "passphrase: correct horse battery staple", "passphrase: [SECRET-1]" }, { "\"passphrase\": \"correct horse battery staple\", then", "\"passphrase\": \"[SECRET-1]\", then" },
        { "Кодовая фраза: правильная лошадь батарея скрепка\nдальше", "Кодовая фраза: [SECRET-1]\nдальше" }, { "seed phrase: abandon ability able about above absent absorb abstract absurd abuse access accident", "seed phrase: [SECRET-1]" },
        { "password=hunter2", "password=[SECRET-1]" }, { "password: Tr0ub4dor&3", "password: [SECRET-1]" }, { "\"password\": \"correct-horse9\"", "\"password\": \"[SECRET-1]\"" },
        { "пароль: qwerty123", "пароль: [SECRET-1]" }, { "Пароль — zXcv!789", "Пароль — [SECRET-1]" }, { "API_KEY='0123456789abcdef'", "API_KEY='[SECRET-1]'" },
        { "export TOKEN=abcdef123456", "export TOKEN=[SECRET-1]" }, { "my password is Pa55word!, do not tell", "my password is [SECRET-1], do not tell" },
        { "curl -H 'Authorization: Bearer 0123456789abcdefABCDEF'", "curl -H 'Authorization: Bearer [SECRET-1]'" }, { "postgres://bob:s3cr3t@db.example.com/x", "postgres://[SECRET-1]@db.example.com/x" },
        { "secret_key = \"Aa1Bb2Cc3Dd4\"", "secret_key = \"[SECRET-1]\"" }, { "SECRET_KEY_BASE=66ab01cd", "SECRET_KEY_BASE=[SECRET-1]" }, { "\"secretKey\": \"Aa1Bb2Cc3Dd4\"", "\"secretKey\": \"[SECRET-1]\"" },
        { "privateKey: 'c47f1006d779'", "privateKey: '[SECRET-1]'" }, { "DB_PASS=hunt3r2x", "DB_PASS=[SECRET-1]" }, { "AccountKey=svzU9Kk1v1==;Suffix=x", "AccountKey=[SECRET-1];Suffix=x" },
        { "Password=Str0ng!Pass;Encrypt=true", "Password=[SECRET-1];Encrypt=true" }, { "encryption_key=b8f233a33951", "encryption_key=[SECRET-1]" }, { "STRIPE_KEY=a1b2c3d4e5f6g7h8i9j0", "STRIPE_KEY=[SECRET-1]" },
        { "<password>Xy7!kkq9</password>", "<password>[SECRET-1]</password>" }, { "tool --password S3cretPw9", "tool --password [SECRET-1]" }, { "{\\\"password\\\": \\\"hunter2222\\\"}", "{\\\"password\\\": \\\"[SECRET-1]\\\"}" },
        { "пароль такой: Qwerty12345", "пароль такой: [SECRET-1]" }, { "пароль от почты: zxcvbn99", "пароль от почты: [SECRET-1]" }, { "мой пароль Qwerty!2345", "мой пароль [SECRET-1]" }, { "Cookie: sessionid=hgLpPG8yHm", "Cookie: sessionid=[SECRET-1]" },
        { "Authorization: token b6cd684fb9035e22c1d460fa", "Authorization: token [SECRET-1]" }, { "redis://:rKFGI85n@cache:6379", "redis://[SECRET-1]@cache:6379" }, { "curl -u admin:S3cretPw9 https://x", "curl -u admin:[SECRET-1] https://x" },
        { "https://hooks.slack.com/services/T01234567/B01234567/vYIBzaQyylWP", "https://hooks.slack.com/services/[SECRET-1]" }, { "api.telegram.org/bot123456789:AAaa0123456789012345678901234567890/x", "api.telegram.org/bot[SECRET-1]/x" },
        { "?token=abc123def&x=1", "?token=[SECRET-1]&x=1" }, { "client_secret = \"x9Y8z7W6\"", "client_secret = \"[SECRET-1]\"" },
        { "my passport is 4509 123456", "my passport is [NUMBER-1]" }, { "паспорт 45 09 123456", "паспорт [NUMBER-1]" }, { "ИНН 7707083893", "ИНН [NUMBER-1]" }, { "СНИЛС 112-233-445 95", "СНИЛС [NUMBER-1]" },
        { "паспорт серия 4510 номер 123456, выдан", "паспорт серия [NUMBER-1], выдан" }, { "Паспорт: серия 45 10 № 123456", "Паспорт: серия [NUMBER-1]" }, { "паспорт серии 4510 №123456", "паспорт серии [NUMBER-1]" },
        { "серия 2, номер 15", "серия 2, номер 15" }, { "call 1-800-273-8255 or 1 (415) 555-2671", "call [PHONE-1] or [PHONE-2]" }, { "http://93.184.216.34/login from 8.8.4.4", "http://[IP-1]/login from [IP-2]" },
        { "server: 8.8.4.4, 8.8.4.4-8.8.4.9, host=8.8.4.4", "server: [IP-1], [IP-1]-[IP-2], host=[IP-1]" },
        { "SSN: 078-05-1120", "SSN: [NUMBER-1]" }, { "078-05-1120", "[NUMBER-1]" }, { "account no. 12345678", "account no. [NUMBER-1]" }, { "счёт 40817810099910004312", "счёт [NUMBER-1]" },
        { "I live at 12 Baker Street.", "I live at [ADDRESS-1]." }, { "221B Baker Street, London", "[ADDRESS-1], London" }, { "1600 Pennsylvania Ave", "[ADDRESS-1]" },
        { "живу на улице Ленина, д. 5, кв. 12.", "живу на [ADDRESS-1]." }, { "ул. Большая Садовая, 10", "[ADDRESS-1]" }, { "проспект Мира, дом 3а", "[ADDRESS-1]" } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) becomes(&rows[i]);
}

static void numbers_and_addresses_of_the_net_go(void)
{
    static const struct { const char *v; enum redact_kind k; } rows[] = {
        { "ann@example.com", RED_EMAIL }, { "a.b+c@mail.example.co.uk", RED_EMAIL }, { "иван@почта.рф", RED_EMAIL }, { "x_1@host-2.org", RED_EMAIL },
        { "+7 912 345-67-89", RED_PHONE }, { "8 (912) 345-67-89", RED_PHONE }, { "+44 20 7946 0958", RED_PHONE }, { "(555) 234-5678", RED_PHONE }, { "555-234-5678", RED_PHONE }, { "89123456789", RED_PHONE }, { "+1-202-555-0143", RED_PHONE },
        { "4111 1111 1111 1111", RED_CARD }, { "4111111111111111", RED_CARD }, { "5500-0000-0000-0004", RED_CARD }, { "2200 0000 0000 0004", RED_CARD },
        { "DE89 3704 0044 0532 0130 00", RED_IBAN }, { "GB82WEST12345698765432", RED_IBAN }, { "FR14 2004 1010 0505 0001 3M02 606", RED_IBAN },
        { "203.0.113.7", RED_IP }, { "8.8.4.4", RED_IP }, { "2001:db8:85a3:0:0:8a2e:370:7334", RED_IP }, { "fe80:1::ab:7334", RED_IP } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) goes(rows[i].v, rows[i].k);
}

static void people_go_and_are_the_same_everywhere(void)
{
    static const row rows[] = {
        { "I met Anna Smith. Smith was late, and Anna too.", "I met [PERSON-1]. [PERSON-1] was late, and [PERSON-1] too." },
        { "Иван Петров пришёл; Ивану Петрову сказали.", "[PERSON-1] пришёл; [PERSON-1] сказали." },
        { "Спросите у Петрова Ивана Сергеевича.", "Спросите у [PERSON-1]." }, { "Меня зовут Тарквиний.", "Меня зовут [PERSON-1]." }, { "My name is Quillon.", "My name is [PERSON-1]." },
        { "Dear Mr Okonkwo, hello", "Dear Mr [PERSON-1], hello" }, { "David and Sarah came.", "[PERSON-1] and [PERSON-2] came." }, { "Звонила Мария Ивановна.", "Звонила [PERSON-1]." },
        { "with Mark Jones there", "with [PERSON-1] there" }, { "доктор Штейн сказал", "доктор [PERSON-1] сказал" }, { "Ольга, привет!", "[PERSON-1], привет!" } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) becomes(&rows[i]);
    const char *own[] = { "Kestrel Project", "Вжик" };
    redactor *r = redact_new(own, 2);
    char *got = redacted(r, "the Kestrel Project of Вжика and kestrel projects");
    CHECK(strstr(got, "the [PERSON-1] of [PERSON-") != NULL);
    free(got);
    const char *late = "Rossi wrote to us.", *whole = "It was Marco Rossi, as Carlos Rossi said.";     /* known from a text that comes later */
    redact_learn(r, late, strlen(late));
    redact_learn(r, whole, strlen(whole));
    got = redacted(r, late);
    CHECK(strstr(got, "Rossi") == NULL);
    free(got);
    redact_free(r);
}

/* What looks alike and is none of it. */
static void what_only_looks_alike_stays(void)
{
    static const char *const rows[] = {
        "Version 1.2.3.4 is out, v2.10.0.1 too.", "libfoo-1.2.3.4.tar.gz", "pip install pkg==1.2.3.4 other>=1.2.3.4 third~=1.2.3.4", "ver. 1.2.3.4, v. 1.2.3.4, Ver 1.2.3.4",
        "\"version\": \"1.2.3.4\"", "version: 1.2.3.4-beta",
        "OID 1.3.6.1, section 1.2.3.4, раздел 2.1.3.4", "git clone git@github.com:owner/repo.git", "1 200 300 4000", "It is 12:30:45 now, on 2026-11-28.", "pi is 3.14159265358979",
        "1000000007 is prime, and 1700000000 is a time", "2^64 = 18446744073709551616",
        "commit 4af3d8d3cf8b9a1d2e3f4a5b6c7d8e9f0a1b2c3d", "uuid 550e8400-e29b-41d4-a716-446655440000", "127.0.0.1 and 192.168.1.10 and 10.0.0.1", "ssh -p 2222 host", "a[i] = b[j] * 1234567890123",
        "May I ask? Will it rain? Mark my words.", "The rose is red, hope is near, and grace falls.", "Rose early, then went home.", "Python and Linux are old; Visual Studio Code is not.",
        "The password must be long.", "password: must be changed", "token = get_token(user)", "Your token is invalid", "secret: true", "the secret ingredient is salt", "PASSWORD=$SECRET_PASSWORD", "password=********", "api_key=<your key>",
        "@property and @media and a @ b", "user@localhost", "x@y", "12 monkeys, 5 streets, 10 Downing", "улица была пуста, 5 домов", "проспект длинный", "на площади 40 человек",
        "Вера в людей жива. Надежда умирает последней.", "Слава победителям! Мир вам.", "май был тёплым, и роза цвела", "ГОСТ 2.105-95", "Москва, Санкт-Петербург и Нью-Йорк", "4111 1111 1111 1112", "1234 5678 9012 3456", "0000 0000 0000 0000",
        "DE00 0000 0000 0000 0000 00", "call 911 or 112", "from 1990-2020", "ratio 16:9, scale 1:100000", "C++11, C11, x86_64, AVX-512", "http://example.com:8080/a?b=1", "sk-learn is a library", "hf_model_name", "eyJ is how it begins",
        "page 123-456", "ISBN 978-3-16-148410-0", "5 + 7 - 912", "f(1)(2)(3)", "10.5281/zenodo.1234", "ed25519", "0x7fffffffffffffff", "a::b::c", "std::vector<int>", "ab:cd", "12:34", "[PERSON-1] wrote", "SHA-256, MD5, RSA-2048",
        "password = get_password(user1)", "token = tokens[i2345]", "max_tokens = 4096, and the token limit: 128000 tokens", "tokenizer: gpt2", "The password policy says so: ask Bob", "primary_key: id, foreign_key=user_id", "key: value",
        "пароль нужен для входа, раздел 12", "session_id = request.session_id", "use --password FILE", "SKU12345678 and 1//0",
        "order 2812345678901235", "id 6912345678901235", "sensor 4000 000 0000 00002", "passphrase: choose one that you can remember", "The passphrase is long", "passphrase: see the manual", "mysql -p -u root", "mysql -u root -P 3306",
        "grep -pattern file", "ssh -p22000 host" };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        redactor *r = redact_new(NULL, 0);
        char *got = redacted(r, rows[i]);
        said++;
        CHECK_STR(got, rows[i]);
        free(got);
        redact_free(r);
    }
}

static void the_report_hides_the_middle_and_names_what_is_doubtful(void)
{
    redactor *r = redact_new(NULL, 0);
    char *got = redacted(r, "Write to anna@example.com or anna@example.com, not to bob@example.org. We saw Kenji Watanabe there, and met Kenji Watanabe again.");
    CHECK_INT(redact_of(r, RED_EMAIL)->n, 3);
    CHECK_INT(redact_of(r, RED_EMAIL)->different, 2);
    CHECK_STR(redact_of(r, RED_EMAIL)->shown[0], "a…m");
    CHECK(strstr(got, "[EMAIL-1] or [EMAIL-1], not to [EMAIL-2]") != NULL);
    const redact_doubt *d;
    int n = redact_doubts(r, &d);
    CHECK(n == 1 && strcmp(d[0].name, "Kenji Watanabe") == 0);
    free(got);
    redact_free(r);
}

static void hostile_bytes_do_no_harm(void)
{
    uint64_t seed[4] = { 1, 2, 3, 4 };
    static const char *const piece[] = { "@", "eyJ", ".", "+7", "-----BEGIN ", "PRIVATE KEY", "password=", "\xff", "\xD0", "\x01", " ", "://", ":", "Anna ", "Иван", "ул. ", "4111", "DE89", "\n", "12 ", "St", "::", "(", "a" };
    for (int round = 0; round < 2000; round++) {
        redactor *r = redact_new(NULL, 0);
        q_buf b = {0};
        for (int k = (int)(q_random(seed) % 30); k >= 0; k--) q_buf_puts(&b, piece[q_random(seed) % (sizeof piece / sizeof *piece)]);
        char *copy = q_strndup(b.p, b.len), *got = redacted(r, copy);
        CHECK(got != NULL);
        free(got);
        free(copy);
        q_buf_free(&b);
        redact_free(r);
    }
    static const char *const again[] = { "eyJ-", "token=", "пароль ", "-----BEGIN PRIVATE KEY", "secret_key ", " -u a:" };      /* nothing is looked at to its end from every place */
    for (size_t i = 0; i < sizeof again / sizeof *again; i++) {
        redactor *r = redact_new(NULL, 0);
        q_buf b = {0};
        while (b.len < 256 << 10) q_buf_puts(&b, again[i]);
        int64_t began = q_now_ns();
        free(redacted(r, b.p));
        CHECK(q_now_ns() - began < 30000000000);
        q_buf_free(&b);
        redact_free(r);
    }
    size_t n = 2 << 20;
    char *big = q_alloc(n + 1);
    for (size_t i = 0; i < n; i++) big[i] = "abc@1. (+7 9"[i % 12];
    redactor *r = redact_new(NULL, 0);
    char *got = redacted(r, big);
    CHECK(strlen(got) > 1000);
    free(got);
    free(big);
    redact_free(r);
}

int main(void)
{
    RUN(keys_go);
    RUN(what_stands_behind_a_word_goes);
    RUN(numbers_and_addresses_of_the_net_go);
    RUN(people_go_and_are_the_same_everywhere);
    RUN(what_only_looks_alike_stays);
    RUN(the_report_hides_the_middle_and_names_what_is_doubtful);
    RUN(hostile_bytes_do_no_harm);
    printf("# %d cases\n", said);
    return TEST_END();
}
