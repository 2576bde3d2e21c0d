/* tests/fuzz/names: any bytes through what a text names: mentions lie in the text, keys can be kept, twice gives the same; and as a name
 * that a person types. */
#include "memory/memory.h"
#include "tests/fuzz/fuzz.h"

static void names_seed(fuzz_rng *r, q_buf *b)
{
    static const char *const parts[] = {"We saw Lofoten. ", "Barack Obama", " and Obama's ", "J. R. R. Tolkien", "\"Lord of the Flies\"", "«Война и мир» ", "Ростов-на-Дону, ",
                                        "на Байкале ", "3 May 1998 ", "3 мая 1998 года", "1998-05-03", "03.05.1998", " C# ", "v3.45.1 ", "foo_bar", "me@example.org ",
                                        "https://example.com/x ", "/usr/lib/x.so ", "src/main.c", "NASA ", "THIS IS LOUD ", "solar panel, a solar panel ", "\n\n- ", "… ",
                                        "if (A) { B = C(); }", "Simon & Schuster", "“X”", "\xC2\xA0", "Ё", "\xD0", "\xE2\x80", "iPhone YouTube McDonald ", "Dr. Watson", "of the "};
    int n = 1 + (int)fuzz_below(r, 20);
    for (int i = 0; i < n; i++) q_buf_puts(b, parts[fuzz_below(r, sizeof parts / sizeof *parts)]);
}

struct looking { const char *text; size_t n; uint64_t sum; int mentions; const char *broken; };

static bool look(void *user, const mem_entity *e)
{
    struct looking *l = user;
    size_t n = strlen(e->key);
    l->mentions++;
    if (e->start >= e->end || e->end > l->n) l->broken = "a mention lies outside of the text";
    else if (n == 0 || n + 2 > MEM_NAME_MAX) l->broken = "a key of no length or of too much";
    else if (strchr(e->key, 10)) l->broken = "a key that a row cannot hold";
    else if (!strchr("nidap", e->kind)) l->broken = "a kind that nobody knows";
    l->sum = q_mix64(q_mix64(l->sum, q_hash64(e->key, n, (uint64_t)e->kind)), e->start << 20 ^ e->end);
    return !l->broken;
}

static int names_run(const char *p, size_t n)
{
    char *exact = q_alloc(n ? n : 1), name[MEM_NAME_MAX];
    struct looking a = {exact, n, 0, 0, NULL}, b = a;
    if (n) memcpy(exact, p, n);
    mem_entities(exact, n, look, &a);
    mem_entities(exact, n, look, &b);
    for (const char *k = "nidap"; *k; k++)
        if (mem_name_of(exact, n, (enum mem_entity_kind)*k, name) && (name[0] != *k || strlen(name) + 1 > MEM_NAME_MAX)) a.broken = "a typed name has another kind";
    free(exact);
    if (a.broken) return FUZZ_BROKEN("%s", a.broken);
    if (a.sum != b.sum || a.mentions != b.mentions) return FUZZ_BROKEN("twice gives another thing");
    if (a.mentions > 96) return FUZZ_BROKEN("%d mentions", a.mentions);
    return 1;
}
const fuzz_target fuzz_names = {"names", 4000, 40000, NULL, names_seed, names_run, NULL, 0};
