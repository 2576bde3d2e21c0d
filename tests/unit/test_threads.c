/* engine: how many threads there are and how many there should be: refused ones are not counted as there, nor asked for at
 * each token again, and "default" is what the model was opened with, whatever was set since. */
#include "engine/engine.h"
#include "engine/models.h"
#include "tests/test.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

static char err[Q_ERRLEN];
static atomic_int asked;
static atomic_bool refuse;

int pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *arg)
{
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
    atomic_fetch_add(&asked, 1);
    return atomic_load(&refuse) ? EAGAIN : real(t, a, f, arg);
}

static eng_model *model(int threads)
{
    char path[] = "/tmp/quorum-threads-XXXXXX";
    eng_model *m = NULL;
    close(mkstemp(path));
    unlink(path);
    CHECK_MSG(eng_synth("qwen3moe", "smoke", "Q4_0", 1, 1, path, NULL, NULL, err) == 0 &&
              eng_model_open(path, &(eng_open_opts){ .n_threads = threads, .ignore_memory = true }, &m, err) == 0, "%s", err);
    unlink(path);
    return m;
}

static void use(eng_session *s, eng_config *c, const char *threads)
{
    CHECK_MSG(eng_config_set(c, "threads", threads, err) == 0 && eng_session_config(s, c, ENG_CONTINUE, err) == 0 && eng_session_push(s, 5, err) == 0, "%s", err);
}

static void refused_threads_are_not_there(void)
{
    eng_model *m = model(2);
    if (!m)
        return;
    eng_config *c = eng_config_new(m);
    eng_session *s = NULL;
    CHECK_MSG(eng_session_new(m, c, &s, err) == 0 && s, "%s", err);
    use(s, c, "2");
    CHECK_INT(eng_model_threads(m), 2);
    use(s, c, "3");
    CHECK_INT(eng_model_threads(m), 3);
    atomic_store(&refuse, true);
    use(s, c, "5");
    CHECK_INT(eng_model_threads(m), 3);
    int tries = atomic_load(&asked);
    for (int i = 0; i < 4; i++)
        use(s, c, "5");
    CHECK_INT(atomic_load(&asked), tries);
    atomic_store(&refuse, false);
    use(s, c, "4");
    CHECK_INT(eng_model_threads(m), 4);
    use(s, c, "5");
    CHECK_INT(eng_model_threads(m), 5);
    eng_session_free(s);
    eng_config_free(c);
    eng_model_free(m);
}

/* Where a container allows no more threads a model opens all the same, with what there is: one, if need be. */
static void refused_threads_are_done_without(void)
{
    atomic_store(&refuse, true);
    eng_model *m = model(7);
    atomic_store(&refuse, false);
    if (!m)
        return;
    CHECK_INT(eng_model_threads(m), 1);
    eng_config *c = eng_config_new(m);
    eng_session *s = NULL;
    CHECK_MSG(eng_session_new(m, c, &s, err) == 0 && s, "%s", err);
    use(s, c, "7");
    CHECK_INT(eng_model_threads(m), 1);      /* refused once: not tried for each token */
    use(s, c, "3");
    CHECK_INT(eng_model_threads(m), 3);
    eng_session_free(s);
    eng_config_free(c);
    eng_model_free(m);
}

static void the_default_stays(void)
{
    eng_model *m = model(2);
    if (!m)
        return;
    q_buf b = { 0 };
    eng_config *c = eng_config_new(m), *later;
    eng_session *s = NULL;
    CHECK_MSG(eng_session_new(m, c, &s, err) == 0 && s, "%s", err);
    CHECK_STR(eng_config_get(c, "threads", &b), "2");
    use(s, c, "3");
    CHECK(!eng_config_is_default(c, "threads"));
    later = eng_config_new(m);
    CHECK_STR(eng_config_get(later, "threads", &b), "2");
    CHECK_INT(eng_config_set(c, "threads", "default", err), 0);
    CHECK_STR(eng_config_get(c, "threads", &b), "2");
    q_buf_free(&b);
    eng_config_free(later);
    eng_session_free(s);
    eng_config_free(c);
    eng_model_free(m);
}

static void a_probe_leaves_what_is_asked(void)
{
    eng_model *m = model(1);
    if (!m)
        return;
    static const int32_t token[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    eng_config *c = eng_config_new(m), *plain = eng_config_new(m);
    eng_session *s = NULL;
    eng_probe *p = NULL;
    CHECK_MSG(eng_session_new(m, c, &s, err) == 0 && s, "%s", err);
    use(s, c, "3");
    CHECK_INT(eng_model_threads(m), 3);
    CHECK_MSG(eng_probe_new(m, plain, token, 8, NULL, NULL, &p, err) == 0, "%s", err);
    CHECK_INT(eng_model_threads(m), 1);
    use(s, c, "3");                      /* the same as before the probe: it is asked for anew */
    CHECK_INT(eng_model_threads(m), 3);
    eng_probe_free(p);
    atomic_store(&refuse, true);         /* and what the system refuses a probe is not counted as there */
    CHECK(eng_config_set(plain, "threads", "6", err) == 0);
    CHECK_MSG(eng_probe_new(m, plain, token, 8, NULL, NULL, &p, err) == 0, "%s", err);
    CHECK_INT(eng_model_threads(m), 3);
    atomic_store(&refuse, false);
    eng_probe_free(p);
    eng_session_free(s);
    eng_config_free(c);
    eng_config_free(plain);
    eng_model_free(m);
}

int main(void)
{
    RUN(refused_threads_are_not_there);
    RUN(refused_threads_are_done_without);
    RUN(the_default_stays);
    RUN(a_probe_leaves_what_is_asked);
    return TEST_END();
}
