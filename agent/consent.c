/* agent/consent: what front ends share of a call that is asked about: the answer as it is typed, the question as it is printed. Plain
 * functions, any thread. */
#include "agent/agent.h"
#include "base/say.h"

#include <string.h>

/* By letter, and by the key of it on a Cyrillic layout, but for "а", which is the key of f and looks like a; "н" begins "нет", and "е" looks like e. */
bool agt_consent_letter(uint32_t cp, enum agt_consent *how, bool *why)
{
    static const struct { const char *letters; enum agt_consent how; bool why; } row[] = {
        { "yYдД", AGT_ONCE, false }, { "aAбБфФ", AGT_CHAT, false }, { "fFпП", AGT_FOLDER, false }, { "nNнНтТ", AGT_NO, false }, { "eEуУеЕ", AGT_NO, true } };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        for (const char *p = row[i].letters; *p;) {
            uint32_t one;
            p += q_utf8_next(p, strlen(p), &one);
            if (one == cp) {
                *how = row[i].how;
                *why = row[i].why;
                return true;
            }
        }
    return false;
}

bool agt_consent_line(const char *line, enum agt_consent *how, const char **words)
{
    static const struct { const char *word; enum agt_consent how; } row[] = { { "yes", AGT_ONCE }, { "да", AGT_ONCE }, { "no", AGT_NO }, { "нет", AGT_NO } };
    size_t n = strcspn(line, " \t");
    uint32_t cp;
    bool why, good = n && (size_t)q_utf8_next(line, n, &cp) == n && agt_consent_letter(cp, how, &why);
    for (size_t i = 0; i < sizeof row / sizeof *row && !good; i++)
        if (n == strlen(row[i].word) && strncmp(line, row[i].word, n) == 0) {
            *how = row[i].how;
            good = true;
        }
    *words = line + n + strspn(line + n, " \t");
    if (good && *how != AGT_NO && **words)      /* "a good idea" is no consent */
        good = false;
    if (!good) {
        *how = AGT_NO;
        *words = line;
    }
    return good;
}

char *agt_call_words(const agt_call *c)
{
    q_buf b = { 0 };
    bool form = c->asks == AGT_ASKS_FORM;
    if (c->question) {
        q_buf_printf(&b, "%s\n", c->shown);
        if (form)
            q_buf_say(&b, _("The server %s asks; a line is the answer.\n"), c->title);
        else
            q_buf_printf(&b, "%s\n", _("The model asks; a line is the answer, an empty one is none."));
        return q_buf_take(&b);
    }
    if (c->asks == AGT_ASKS_SIGN) {
        q_buf_say(&b, _("The server %s asks for a sign-in:\n"), c->title);
        q_buf_printf(&b, "%s%s\n%s\n", c->shown, c->policy, _("y sign in · n no · e ADDRESS: where the browser ended"));
        return q_buf_take(&b);
    }
    if (form || c->asks == AGT_ASKS_SERVER) {
        q_buf_say(&b, form ? _("The server %s asks:\n") : c->diff ? _("May the model use what is new of the server %s?\n") : _("May the model use the server %s?\n"), c->title);
        q_buf_printf(&b, "%s%s\n%s\n", c->shown, c->policy, form ? _("y answer it · n decline") : _("y until quorum ends · f always, as it is now · n no"));
        return q_buf_take(&b);
    }
    q_buf_say(&b, _("The model wants to: %s\n"), c->title);
    q_buf_puts(&b, c->shown ? c->shown : "");
    q_buf_say(&b, _("%s (folder %s)\n"), c->policy ? c->policy : "", c->folder ? c->folder : "");
    if (c->rule)
        q_buf_say(&b, _("y once · a in this conversation · f always in this folder (%s) · n no · e WHY: no, and why\n"), c->rule);
    else
        q_buf_say(&b, "%s\n", _("y once (this is asked about each time) · n no · e WHY: no, and why"));
    return q_buf_take(&b);
}
