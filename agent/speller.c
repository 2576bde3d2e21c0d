/* agent/speller: see speller.h. */
#include "agent/speller.h"

void speller_open(speller *s) { pthread_mutex_init(&s->mu, NULL); }
void speller_close(speller *s) { pthread_mutex_destroy(&s->mu); }

void speller_is(speller *s, const prov *who)
{
    pthread_mutex_lock(&s->mu);
    s->who = who;
    pthread_mutex_unlock(&s->mu);
}

bool speller_can(speller *s, uint64_t model)
{
    pthread_mutex_lock(&s->mu);
    bool can = s->who && prov_about(s->who)->id == model;
    pthread_mutex_unlock(&s->mu);
    return can;
}

void speller_spell(speller *s, uint64_t model, int32_t token, q_buf *out)
{
    pthread_mutex_lock(&s->mu);
    if (s->who && prov_about(s->who)->id == model)
        prov_spell(s->who, token, out);
    pthread_mutex_unlock(&s->mu);
}
