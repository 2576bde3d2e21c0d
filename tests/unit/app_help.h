/* tests: an app over the scripted agent, keys pressed and events sent to it. */
#ifndef QUORUM_APP_HELP_H
#define QUORUM_APP_HELP_H
#include "tests/unit/fake_agent.h"
#include "tui/view/table.h"

static tui_app app;
static __attribute__((unused)) void key(enum tui_key_code c) { tui_key k = { .code = c }; tui_app_key(&app, &k); }
static __attribute__((unused)) void chr(uint32_t cp) { tui_key k = { .code = K_CHAR, .cp = cp }; tui_app_key(&app, &k); }
static __attribute__((unused)) void keys_in(const char *s) { for (size_t n = strlen(s), i = 0; i < n;) { uint32_t c; i += (size_t)q_utf8_next(s + i, n - i, &c); chr(c); } }
static __attribute__((unused)) void ev(agt_event e) { tui_app_event(&app, &e); agt_event_free(&e); }
static __attribute__((unused)) void begin(void)
{
    fake_model();
    fake_routing(2, 28, 16, 12);
    for (int i = 0; i < fake.n_set; i++) { free(fake.set[i].key); free(fake.set[i].value); fake.set[i].value = NULL; }
    fake.n_set = 0;
    tui_app_init(&app, NULL, 80, 24);
    app.now = 1000;
    tui_app_draw(&app);
    q_buf_clear(&fake.said);
    q_buf_puts(&fake.said, "");
}
static __attribute__((unused)) void answer(int64_t id, const char *text)
{
    ev((agt_event){ .kind = AGT_EV_SENT, .n_messages = 1, .message = fake_message(id, AGT_USER, "question") });
    agt_message *m = fake_message(id + 1, AGT_ASSISTANT, "");
    m->state = AGT_PARTIAL;
    ev((agt_event){ .kind = AGT_EV_BEGIN, .n_messages = 1, .message = m });
    ev((agt_event){ .kind = AGT_EV_TOKEN, .text = q_strdup(text) });
    ev((agt_event){ .kind = AGT_EV_DONE, .n_messages = 1, .message = fake_message(id + 1, AGT_ASSISTANT, text) });
    tui_app_draw(&app);
}
#define SAID(s) do { CHECK_STR(fake.said.p, s); q_buf_clear(&fake.said); q_buf_puts(&fake.said, ""); } while (0)

static __attribute__((unused)) bool on_screen(const char *s)
{
    q_buf b = {0};
    tui_app_draw(&app);
    tui_grid_text(&app.grid, &b);
    bool yes = strstr(b.p, s) != NULL;
    q_buf_free(&b);
    return yes;
}
#endif
