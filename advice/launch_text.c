/* advice/launch_text: a plan as a script for sh or as a unit for systemd --user, each flag explained above it. See launch.h.
 * Words are the program's; names and values are somebody's and are quoted for who reads them: sh, or systemd.service(5). */
#include "advice/launch_plan.h"
#include "base/say.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const SAFE = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:=,@+-";

/* POSIX sh, 2.2.3: within double quotes only $ ` " and \ are more than themselves. */
static void sh_word(q_buf *out, const char *s)
{
    bool safe = *s && s[strspn(s, SAFE)] == 0;
    if (!safe) q_buf_putc(out, '"');
    for (; *s; s++) {
        if (strchr("$`\"\\", *s)) q_buf_putc(out, '\\');
        q_buf_putc(out, *s);
    }
    if (!safe) q_buf_putc(out, '"');
}

/* systemd.service(5), "Command lines": within double quotes \ and " are escaped, % and $ are doubled. */
static void unit_word(q_buf *out, const char *s)
{
    bool safe = *s && s[strspn(s, SAFE)] == 0;
    if (!safe) q_buf_putc(out, '"');
    for (; *s; s++) {
        if (*s == '"' || *s == '\\') q_buf_putc(out, '\\');
        if (*s == '%' || *s == '$') q_buf_putc(out, *s);
        q_buf_putc(out, *s);
    }
    if (!safe) q_buf_putc(out, '"');
}

static const char *key_name(const adv_launch *p)
{
    return !p->open || p->server->gguf ? NULL : launch_of(p) == VLLM ? "VLLM_API_KEY" : "SGLANG_API_KEY";
}

static void sizes(const adv_launch *p, q_buf *out)
{
    const adv_launch_size *s = &p->size;
    char a[32], b[32], c[32], d[32];
    q_buf_say(out, _("# Weights %s; cells for %d x %d tokens %s;"), q_bytes_words(s->weights, a), p->users, p->context, q_bytes_words(s->kv, b));
    if (s->state) q_buf_say(out, _(" states of recurrent layers %s;"), q_bytes_words(s->state, c));
    q_buf_say(out, _(" the computation about %s, an estimate."), q_bytes_words(s->room, d));
    q_buf_putc(out, '\n');
    if (p->gpus > 0) q_buf_say(out, ngettext("# On %d GPU: %s of %s.", "# On each of %d GPUs: %s of %s.", (unsigned long)p->gpus), p->gpus, q_bytes_words(s->each, a), q_bytes_words(s->has, b));
    else q_buf_say(out, _("# In RAM: %s of %s."), q_bytes_words(s->each, a), q_bytes_words(s->has, b));
    if (s->in_ram) q_buf_say(out, _(" In RAM: %s of the weights."), q_bytes_words(s->in_ram, c));
    q_buf_putc(out, '\n');
}

/* How quorum talks with it: the section for config.ini, and how one sees that it answers. */
static void section(const adv_launch *p, q_buf *out)
{
    const char *host = strcmp(p->host, "0.0.0.0") == 0 ? "127.0.0.1" : strcmp(p->host, "::") == 0 ? "::1" : p->host;
    char url[200];
    snprintf(url, sizeof url, strchr(host, ':') ? "http://[%s]:%d" : "http://%s:%d", host, p->port);
    q_buf_say(out, _("# Does it answer?  curl -fsS %s/health"), url);
    q_buf_puts(out, "\n");
    q_buf_puts(out, _("# To talk with it, in quorum's config.ini:"));
    q_buf_say(out, "\n#     [server.%s]\n#     url = %s/v1\n", p->section, url);
    if (launch_of(p) != QUORUM) q_buf_say(out, "#     model = %s\n", p->name);
    if (key_name(p)) q_buf_say(out, "#     key_env = %s\n", key_name(p));
    else if (p->open) q_buf_say(out, "#     key_file = %s\n", p->wish->key_file);
    if (!p->server->gguf && p->known && p->known->n_expert > 0)
        q_buf_say(out, "#     routing = %s\n#     layers = %d\n#     experts = %d\n#     k = %d\n", p->server->name, p->known->n_layer, p->known->n_expert, p->known->n_used);
    q_buf_say(out, _("# and then: quorum -m @%s"), p->section);
    q_buf_putc(out, '\n');
}

static void head(const adv_launch *p, q_buf *out)
{
    q_buf_say(out, _("# %s in %s with %s, for: %s"), p->name, p->type, p->server->title, p->machine);
    q_buf_putc(out, '\n');
    sizes(p, out);
    q_buf_say(out, _("# Flags are those of %s %s (%s); sizes are computed: the start itself was not tried on that machine."), p->server->title, p->server->release, p->server->package);
    q_buf_putc(out, '\n');
    if (p->variant && *p->variant->sampling) q_buf_say(out, _("# Sampling that the makers recommend: %s"), p->variant->sampling), q_buf_putc(out, '\n');
    if (p->variant && p->variant->gated && launch_of(p) != QUORUM)
        q_buf_puts(out, _("# The hub wants an agreement first, and then a token in HF_TOKEN of the environment; it does not stand here.")), q_buf_putc(out, '\n');
    if (launch_of(p) == QUORUM && p->known && !p->wish->weights) {
        if (*p->variant->gguf) q_buf_say(out, _("# The file comes with: quorum model pull hf:%s:%s"), p->variant->gguf, p->type);
        else q_buf_puts(out, _("# No repository of GGUFs is known for it: put a file of this name where quorum model list looks."));
        q_buf_putc(out, '\n');
    }
    section(p, out);
}

/* The words of the command before the flags. */
static int command(const adv_launch *p, const char *word[4])
{
    switch (launch_of(p)) {
    case VLLM: return word[0] = "vllm", word[1] = "serve", word[2] = p->model, 3;
    case SGLANG: return word[0] = "python3", word[1] = "-m", word[2] = "sglang.launch_server", 3;
    case LLAMA: return word[0] = "llama-server", 1;
    default: return word[0] = "quorum", word[1] = "serve", 2;
    }
}

void adv_launch_script(const adv_launch *p, q_buf *out)
{
    const char *word[4];
    int n = command(p, word);
    q_buf_puts(out, "#!/bin/sh\n");
    head(p, out);
    q_buf_puts(out, "set -eu\n");
    if (key_name(p)) q_buf_printf(out, ": \"${%s:?}\"\n", key_name(p));
    q_buf_puts(out, "set --");
    for (int i = 0; i < n; i++) q_buf_putc(out, ' '), sh_word(out, word[i]);
    q_buf_putc(out, '\n');
    for (int i = 0; i < p->n_flag; i++) {
        const adv_launch_flag *f = &p->flag[i];
        q_buf_printf(out, "# %s\nset -- \"$@\" %s", _(f->words), f->flag);
        if (*f->value == '\n') q_buf_printf(out, " \"$%s\"", key_name(p));
        else if (!f->bare) q_buf_putc(out, ' '), sh_word(out, f->value);
        q_buf_putc(out, '\n');
    }
    q_buf_puts(out, "exec \"$@\"\n");
}

void adv_launch_unit(const adv_launch *p, q_buf *out)
{
    const char *word[4];
    int n = command(p, word);
    q_buf_say(out, _("# As ~/.config/systemd/user/%s.service; systemctl --user daemon-reload, then systemctl --user start %s"), p->section, p->section);
    q_buf_putc(out, '\n');
    head(p, out);
    q_buf_puts(out, "[Unit]\nDescription=");
    q_buf_say(out, "%s, %s", p->section, p->server->name);
    q_buf_puts(out, "\nAfter=network.target\n\n[Service]\nType=exec\n");
    q_buf_puts(out, _("# Keys and tokens (HF_TOKEN, VLLM_API_KEY, SGLANG_API_KEY) stand in this file, of mode 0600, and never here."));
    q_buf_puts(out, "\nEnvironmentFile=-%h/.config/quorum/launch.env\nExecStart=/usr/bin/env");
    for (int i = 0; i < n; i++) q_buf_putc(out, ' '), unit_word(out, word[i]);
    for (int i = 0; i < p->n_flag; i++) {
        const adv_launch_flag *f = &p->flag[i];
        q_buf_printf(out, " \\\n# %s\n    %s", _(f->words), f->flag);
        if (*f->value == '\n') q_buf_printf(out, " ${%s}", key_name(p));
        else if (!f->bare) q_buf_putc(out, ' '), unit_word(out, f->value);
    }
    q_buf_puts(out, "\nRestart=on-failure\nNoNewPrivileges=yes\nPrivateTmp=yes\n\n[Install]\nWantedBy=default.target\n");
}
