/* model/say: how long a sentence stands, and what may push it away. Front-end thread. */
#include "tui/model/say.h"

#include <stdlib.h>
#include <string.h>

void tui_say_free(tui_say *s)
{
    for (int i = 0; i < s->n_log; i++) free(s->log[i].text);
    free(s->note);
    s->n_log = 0;
    s->note = NULL;
}

void tui_say_hush(tui_say *s)
{
    free(s->note);
    s->note = NULL;
}

void tui_say_note(tui_say *s, int64_t now, int level, const char *text)
{
    if (s->n_log == TUI_LOG_MAX) {
        free(s->log[0].text);
        memmove(s->log, s->log + 1, sizeof *s->log * (TUI_LOG_MAX - 1));
        s->n_log--;
    }
    s->log[s->n_log++] = (tui_log_entry){ .wall_ms = q_wall_ms(), .level = level, .text = q_strdup(text) };
    /* A warning from the background does not push away an error that nobody had time to read; /log has both. */
    if (level == AGT_WARN && s->note && s->note_level == AGT_ERROR && now < s->note_until - 50000) return;
    /* Nor does what a turned knob says of itself the warning about it that came just before. */
    if (level == AGT_INFO && s->note && s->note_level == AGT_WARN && now < s->note_until - 14000) return;
    free(s->note);
    s->note = q_strdup(text);
    s->note_level = level;
    s->note_until = now + (level == AGT_ERROR ? 60000 : level == AGT_WARN ? 15000 : 8000);
}

char *tui_compacted(const agt_event *e)
{
    const char *how = e->name ? e->name : "";
    if (strcmp(how, "undone") == 0)
        return q_strdup(_("The summary is taken back: the turns themselves are in the prompt again."));
    if (strcmp(how, "edited") == 0)
        return q_printf(ngettext("The summary is reworded: %d token.", "The summary is reworded: %d tokens.", (unsigned long)e->total), (int)e->total);
    if (strcmp(how, "pinned") == 0)
        return q_strdup(_("What stands word for word beside the summary is another now."));
    return q_printf(ngettext("A summary stands for %d older message now: %lld → %lld tokens. /compact show, /compact undo.",
                             "A summary stands for %d older messages now: %lld → %lld tokens. /compact show, /compact undo.", (unsigned long)e->number),
                    e->number, (long long)e->done, (long long)e->total);
}

const char *tui_paused(bool answering, bool on)
{
    if (answering) return on ? _("paused: /step, /pause goes on") : _("going on");
    return on ? _("the next answer waits before its first token: /step brings one, /pause goes on") : _("the next answer is not held up any more");
}
