/* rag: chunks of Markdown and of random bytes, what counts as text, the score and its threshold (the manual answers
 * what it is about and nothing else), budget, explanation. */
#include "agent/agent.h"
#include "engine/engine.h"
#include "memory/store.h"
#include "rag/rag.h"
#include "tests/test.h"

#include <time.h>

static char err[Q_ERRLEN];
#define OK(call) do { err[0] = 0; int rc_ = (call); CHECK_MSG(rc_ == Q_OK, "%d %s", rc_, err); } while (0)

static mem_store *open_new(void)
{
    mem_store *s = NULL;
    if (mem_open(":memory:", &s, err) != Q_OK) { printf("not ok open: %s\n", err); exit(1); }
    return s;
}

static void markdown_is_cut_at_its_joints(void)
{
    q_buf b = {0};
    q_buf_puts(&b, "intro before any heading\n\n# Optics #\n\nFirst paragraph.\n\n## `Rayleigh` *scattering*\n");
    for (int i = 0; i < 40; i++) q_buf_printf(&b, "Sentence number %d is about light and air. ", i);
    q_buf_puts(&b, "\n\n```c\nint main(void)\n{\n\n# not a heading\n");
    for (int i = 0; i < 60; i++) q_buf_printf(&b, "    call(%d);\n", i);
    q_buf_puts(&b, "}\n```\n\nAfter code.\n\nOther\n=====\ntext of other\n\n### deep\ndeep text\n\n#notaheading\n");
    mem_chunk *c;
    int n = rag_chunk(b.p, b.len, true, &c), fences = 0, rayleigh = 0;
    size_t end = 0;
    for (int i = 0; i < n; i++) {
        CHECK(c[i].offset >= end && c[i].text == b.p + c[i].offset && c[i].n > 0);
        end = c[i].offset + c[i].n;
        CHECK(memmem(c[i].text, c[i].n, "\n## ", 4) == NULL);
        bool opens = memmem(c[i].text, c[i].n, "```c", 4), closes = memmem(c[i].text, c[i].n, "}\n```", 5);
        CHECK(opens == closes);
        fences += opens;
        rayleigh += strcmp(c[i].heading, "Optics › Rayleigh scattering") == 0;
        if (!opens) {
            CHECK(c[i].n <= 1400);
            if (c[i].n > 900) CHECK_INT(c[i].text[c[i].n - 1], '.');            /* cut after a sentence */
        }
    }
    CHECK_INT(fences, 1);
    CHECK(rayleigh >= 3);
    CHECK_STR(c[0].heading, "");
    CHECK_STR(c[1].heading, "Optics");
    CHECK_STR(c[n - 2].heading, "Other");
    CHECK_STR(c[n - 1].heading, "Other › deep");
    CHECK(memmem(c[n - 1].text, c[n - 1].n, "#notaheading", 12) != NULL);
    rag_chunks_free(c, n);
    n = rag_chunk("# comment\nx = 1\n", 16, false, &c);
    CHECK_INT(n, 1);
    CHECK_STR(c[0].heading, "");
    rag_chunks_free(c, n);
    CHECK_INT(rag_chunk("", 0, true, &c), 0);
    CHECK_INT(rag_chunk(" \n\t\n", 4, true, &c), 0);
    q_buf_free(&b);
}

static void chunks_of_random_bytes_cover_and_stay_inside(void)
{
    uint64_t x = 88172645463325252u;
    static const char *const bits[] = {"# ", "\n", "\n\n", "```", "~~~", "===", "---", "word ", ". ", "\xD0\xB6", "\xF0\x9F\x98\x80", "#", " ", "\r\n", "a"};
    for (int round = 0; round < (getenv("QUORUM_LONG") ? 30000 : 1500); round++) {
        q_buf b = {0};
        x ^= x << 13; x ^= x >> 7; x ^= x << 17;
        size_t want = x % 9000;
        bool raw = (x >> 40) % 3 == 0, lines = (x >> 50) % 2;
        while (b.len < want) {
            x ^= x << 13; x ^= x >> 7; x ^= x << 17;
            if (raw) q_buf_putc(&b, (char)(x >> 20));
            else q_buf_puts(&b, bits[(x >> 20) % (lines ? 15 : 11)]);
        }
        mem_chunk *c;
        bool md = round & 1;
        int n = rag_chunk(b.p ? b.p : "", b.len, md, &c);
        size_t end = 0, covered = 0, ink = 0;
        for (int i = 0; i < n; i++) {
            CHECK(c[i].offset >= end && c[i].n > 0 && c[i].n <= 4000 && c[i].text == b.p + c[i].offset);
            end = c[i].offset + c[i].n;
            CHECK(end <= b.len);
            covered += c[i].n;
            if (!raw) CHECK(q_utf8_valid(c[i].text, c[i].n));
        }
        for (size_t i = 0; i < b.len; i++) ink += strchr(" \t\n\r\f\v", b.p[i]) == NULL || b.p[i] == 0;
        if (!md) CHECK(covered >= ink);                                     /* nothing but white space is lost */
        rag_chunks_free(c, n);
        q_buf_free(&b);
        if (test_bad) break;
    }
}

static void knobs_take_what_the_table_allows(void)
{
    rag_config c = rag_config_default();
    q_buf b = {0};
    OK(rag_config_set(&c, "memory.min_score", ".45", err));
    CHECK_STR(rag_config_get(&c, "memory.min_score", &b), "0.45");
    CHECK_INT(rag_config_set(&c, "memory.min_score", "1.5", err), Q_RANGE);
    CHECK_INT(rag_config_set(&c, "memory.min_score", "nan", err), Q_RANGE);
    CHECK_INT(rag_config_set(&c, "memory.max_passages", "2.5", err), Q_RANGE);
    CHECK_INT(rag_config_set(&c, "memory.on", "maybe", err), Q_RANGE);
    CHECK_INT(rag_config_set(&c, "memory.off", "1", err), Q_NOTFOUND);
    OK(rag_config_set(&c, "memory.on", "off", err));
    CHECK_STR(rag_config_get(&c, "memory.on", &b), "off");
    OK(rag_config_set(&c, "memory.min_score", "default", err));
    CHECK(c.min_score == .30);
    int n;
    const q_knob *k = rag_knobs(&n);
    for (int i = 0; i < n; i++) {                                           /* every row gets and sets its own value */
        CHECK(rag_config_get(&c, k[i].name, &b) != NULL);
        OK(rag_config_set(&c, k[i].name, b.p, err));
    }
    CHECK(rag_config_get(&c, "experts.k", &b) == NULL);
    q_buf_free(&b);
}

static rag_result *ask(mem_store *s, const char *q)
{
    rag_config c = rag_config_default();
    rag_result *r = NULL;
    OK(rag_search(s, &c, q, NULL, &r, err));
    return r;
}

static void manual_in(mem_store *s)
{
    OK(rag_manual(s, err));
    mem_documents l;
    OK(mem_document_list(s, &l, err));
    CHECK_INT(l.n, 2);
    for (int i = 0; i < l.n; i++) CHECK(l.v[i].n_chunks > 30);
    mem_documents_free(&l);
}

static void the_manual_answers_what_it_is_about(void)
{
    static const struct { const char *q, *label; } t[] = {
        {"what is experts.k?", "manual § experts.k"},
        {"What is num_experts_per_tok?", "manual § experts.k"},
        {"what does norm.eps do", "manual § norm.eps"},
        {"What is rope.theta?", "manual § rope.theta"},
        {"How do I ban an expert?", "manual § experts.ban"},
        {"what is the difference between continue and recompute?", "manual § continue and recompute"},
        {"how do I add documents to memory?", "manual § Adding documents: /add"},
        {"what does memory.min_score mean", "manual § memory.min_score"},
        {"что такое experts.k?", "справка § experts.k — сколько экспертов"},
        {"как запретить эксперта?", "справка § experts.ban — запрет экспертов"},
        {"что такое перплексия", "справка § Перплексия"},
    };
    mem_store *s = open_new();
    double least = 1;
    manual_in(s);
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        rag_result *r = ask(s, t[i].q);
        CHECK_MSG(r && r->n_fed >= 1 && r->n_fed <= 3 && strcmp(r->v[0].label, t[i].label) == 0, "\"%s\": fed %d, best %s %.2f", t[i].q, r->n_fed,
                  r->n ? r->v[0].label : "nothing", r->n ? r->v[0].score : 0);
        if (r->n && r->v[0].score < least) least = r->v[0].score;
        rag_result_free(r);
    }
    printf("# least score of a question about the manual: %.2f\n", least);
    mem_close(s);
}

static void the_manual_names_every_knob_and_command(void)
{
    static const char *const files[] = {"docs/manual.md", "docs/manual.ru.md"};
    for (int f = 0; f < 2; f++) {
        char *path = q_share_path(files[f]);
        q_buf b = {0};
        CHECK(path && q_read_file(path, &b, 1 << 20, err) == Q_OK);
        int n[2];
        const q_knob *rows[2] = {eng_knobs(&n[0]), rag_knobs(&n[1])};
        for (int t = 0; t < 2; t++)
            for (int i = 0; i < n[t]; i++) CHECK_MSG(b.p && strstr(b.p, rows[t][i].name), "%s says nothing of %s", files[f], rows[t][i].name);
        int n_commands;
        const agt_command *c = agt_commands(&n_commands);
        for (int i = 0; i < n_commands; i++) {
            char *name = q_printf("/%s", c[i].name);
            CHECK_MSG(b.p && strstr(b.p, name), "%s says nothing of %s", files[f], name);
            free(name);
        }
        q_buf_free(&b);
        free(path);
    }
}

static void everyday_questions_feed_nothing(void)
{
    static const char *const q[] = {
        "How are you?", "What is the capital of France?", "Write a poem about spring", "Tell me a joke", "What time is it?",
        "Why is the sky blue?", "How do I boil an egg?", "Who wrote Romeo and Juliet?", "What should I cook for dinner tonight?",
        "Can you help me write a letter to my boss?", "What is 12 times 8?", "Translate 'good morning' into French.",
        "What is the meaning of life?", "How far away is the moon?", "Give me three tips for better sleep",
        "Who was the first president of the United States?", "What's the weather like today?", "Explain how a computer works",
        "Write a short story about a dog", "What are you called?",
        "How many days are in a leap year?", "Recommend a good book", "How can I learn a new language quickly?", "What is love?",
        "Explain photosynthesis to a child", "What can you do?", "Hello", "Thanks, that was great!", "Summarize World War II",
        "How do plants grow?", "What is machine learning?", "Write a python function that adds two numbers", "What's your name?",
        "Plan a three day trip to Rome", "What is the largest ocean?", "How do I lose weight?", "Is it going to rain tomorrow?",
        "List the planets of the solar system", "Who are you?", "What is the speed of light?", "How old is the earth?",
        "What is the best way to learn the guitar?", "Why do cats purr?", "How do airplanes fly?", "What is the tallest mountain?",
        "Write an email asking for a day off", "What causes earthquakes?", "How do I change a tire?", "Name five fruits",
        "What temperature should I bake a cake at?", "How can I improve my memory?", "What is artificial intelligence?", "Who invented the telephone?",
        "What does 'carpe diem' mean?", "How do I reset my password?", "Compare cats and dogs", "What is a good name for a puppy?",
        "How many cores does my computer need?", "What is the square root of 144?", "Give me a random number", "Continue the story",
        "What happened in 1969?", "How do I sort a list in Python?", "What is a black hole?", "Is coffee bad for you?",
        "Как дела?", "Напиши стихотворение о весне", "Какая столица Франции?", "Почему небо голубое?", "Расскажи анекдот",
        "Сколько времени?", "Как сварить яйцо?", "Что посмотреть вечером?", "Сколько будет 12 умножить на 8?", "Кто ты?",
        "Объясни, как работает компьютер", "Помоги написать письмо начальнику", "Какая завтра погода?", "В чём смысл жизни?",
    };
    mem_store *s = open_new();
    manual_in(s);
    double worst = 0;
    for (size_t i = 0; i < sizeof q / sizeof *q; i++) {
        rag_result *r = ask(s, q[i]);
        CHECK_MSG(r->n_fed == 0, "\"%s\" was fed %s %.2f", q[i], r->n ? r->v[0].label : "", r->n ? r->v[0].score : 0);
        if (r->n && r->v[0].score > worst) worst = r->v[0].score;
        if (getenv("V") && r->n && r->v[0].score > .15) printf("# %.2f %s -> %s\n", r->v[0].score, q[i], r->v[0].label);
        q_buf b = {0};
        CHECK(strncmp(rag_summary(r, &b), r->searched ? "nothing fed" : "not searched: no word", 11) == 0);
        q_buf_free(&b);
        rag_result_free(r);
    }
    printf("# best score of an everyday question: %.2f\n", worst);
    mem_close(s);
}

static void a_note_is_fed_to_questions_about_it(void)
{
    static const char note[] =
        "# Optics\n\n## Rayleigh\nRayleigh scattering grows with the fourth power of frequency, so short waves are scattered by air molecules "
        "far more than long ones. That is why the sky looks blue and the sunset red.\n\n"
        "## Lenses\nThe focal length of the old Zorki lens is 52 mm, not 50.\n\n# Дом\nКлюч от почтового ящика лежит у соседки Нины Павловны, "
        "квартира 14.\n\nThe wifi password of the summer house is in the blue folder.\n";
    static const struct { const char *q, *want; } t[] = {
        {"What is Rayleigh scattering?", "fourth power"}, {"Why is the sky blue at noon but red at sunset?", "fourth power"},
        {"what is the focal length of my Zorki?", "52 mm"}, {"У кого ключ от ящика?", "Нины Павловны"}, {"где лежат ключи от почтовых ящиков", "Нины"},
        {"Where did I put the wifi password?", "blue folder"},
    };
    mem_store *s = open_new();
    manual_in(s);
    int64_t id;
    OK(rag_add_text(s, "/notes/optics.md", "notes/optics.md", MEM_TRUST_OWN, note, sizeof note - 1, &id, err));
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        rag_result *r = ask(s, t[i].q);
        CHECK_MSG(r->n_fed >= 1 && strstr(r->v[0].text, t[i].want), "\"%s\": fed %d, best %s %.2f", t[i].q, r->n_fed, r->n ? r->v[0].label : "nothing", r->n ? r->v[0].score : 0);
        if (getenv("V")) { q_buf b = {0}; rag_explain(r, &b); printf("%s\n%.200s\n", t[i].q, b.p); q_buf_free(&b); }
        if (i == 0 && r->n_fed) {
            CHECK_STR(r->v[0].label, "notes/optics.md § Rayleigh");
            CHECK_INT(r->v[0].number, 1);
            CHECK(r->v[0].offset > 0 && strncmp(note + r->v[0].offset, r->v[0].text, 20) == 0);
        }
        rag_result_free(r);
    }
    mem_close(s);
}

/* ---- how people ask ---- */
static const struct { const char *name, *text; } household[] = {
    {"bus.md", "The last bus 38 to the village leaves the station at 22:40 on weekdays and at 21:15 on Sundays.\n"},
    {"flat.md", "# Flat\n\nThe landlord is Mr Okafor; rent is due on the fifth. The water meter is behind the washing machine.\n"},
    {"car.md", "# Car\n\nWinter tyres are stored at Hansen's garage, front pressure 2.4 bar. Insurance runs until March.\n"},
    {"cat.md", "# Mishka\n\nThe cat gets half a tablet of methimazole twice a day, with food. The vet is Dr Lund.\n"},
    {"passport.md", "My passport expires in August 2031 and lies in the grey box on the shelf.\n"},
    {"bread.md", "# Rye bread\n\nMix the sourdough in the evening, bake it for an hour at 220 degrees, let it rest until morning.\n"},
    {"trip.md", "# Lofoten\n\nThe ferry from Bodo takes three hours and twenty minutes; the cabin in Reine is booked for four nights.\n"},
    {"dose.md", "Ibuprofen and warfarin must not be taken together: the risk of bleeding rises.\n"},
    {"dacha.md", "# Дача\n\nЭлектричка до Комарово уходит в 9:12 с Финляндского вокзала. Ключ от сарая висит за дверью.\n"},
    {"borsch.md", "# Борщ\n\nСвёклу запекаем целиком полтора часа, капусту кладём в самом конце, чеснок растираем с салом.\n"},
    {"doc.md", "Страховой полис лежит в синей папке, срок его действия заканчивается в октябре.\n"},
    {"pills.md", "Ибупрофен и варфарин вместе принимать нельзя: растёт риск кровотечения.\n"},
};

static mem_store *household_in(void)
{
    mem_store *s = open_new();
    manual_in(s);
    int64_t id;
    for (size_t i = 0; i < sizeof household / sizeof *household; i++) {
        char *title = q_printf("notes/%s", household[i].name);
        OK(rag_add_text(s, title, title, MEM_TRUST_OWN, household[i].text, strlen(household[i].text), &id, err));
        free(title);
    }
    return s;
}

static void asked(mem_store *s, const char *q, const char *before, const char *name, double *least)
{
    rag_config c = rag_config_default();
    rag_scope scope = {.budget = -1, .before = before};
    rag_result *r = NULL;
    OK(rag_search(s, &c, q, &scope, &r, err));
    char *want = q_printf("notes/%s", name);
    CHECK_MSG(r->n_fed >= 1 && strncmp(r->v[0].label, want, strlen(want)) == 0, "\"%.60s\": fed %d, best %s %.2f", q, r->n_fed,
              r->n ? r->v[0].label : "nothing", r->n ? r->v[0].score : 0);
    if (r->n && r->v[0].score < *least) *least = r->v[0].score;
    if (getenv("V") && r->n) {
        q_buf b = {0};
        rag_explain(r, &b);
        printf("%s\n%.900s\n", q, b.p);
        q_buf_free(&b);
    }
    free(want);
    rag_result_free(r);
}

/* Of a very long question the start and the end are read, and no word is cut in two there. */
static void a_cut_makes_no_words(void)
{
    mem_store *s = household_in();
    for (int at = 1; at < 9; at++) {
        q_buf q = {0};
        while (q.len + (size_t)at < 16 << 10) q_buf_puts(&q, q.len % 2 ? " " : "a");
        q_buf_puts(&q, " walrusoid");
        while (q.len < 100 << 10) q_buf_puts(&q, " b");
        q_buf_puts(&q, " quokkafish");
        size_t end = q.len;
        while (q.len + (size_t)at < end + (48 << 10)) q_buf_puts(&q, q.len % 2 ? " " : "c");
        rag_config c = rag_config_default();
        rag_result *r = NULL;
        OK(rag_search(s, &c, q.p, &(rag_scope){.budget = -1}, &r, err));
        for (int i = 0; i < r->n_term; i++)
            CHECK_MSG(strlen(r->term[i].word) == 1 || strcmp(r->term[i].word, "walrusoid") == 0 || strcmp(r->term[i].word, "quokkafish") == 0, "%d: \"%s\"", at, r->term[i].word);
        rag_result_free(r);
        q_buf_free(&q);
    }
    mem_close(s);
}

static void ordinary_phrasing_is_enough(void)
{
    static const struct { const char *q, *name; } t[] = {
        {"last bus on Sundays", "bus.md"}, {"Could you please remind me when the last bus to the village leaves on a Sunday?", "bus.md"},
        {"Do you happen to know what time the last bus goes back to the village?", "bus.md"},
        {"Who is my landlord?", "flat.md"}, {"I can't remember what my landlord is called, can you tell me?", "flat.md"},
        {"Where is the water meter in our flat, I keep forgetting?", "flat.md"},
        {"What pressure should I put into the front tyres of the car?", "car.md"}, {"Where did we leave the winter tyres again?", "car.md"},
        {"How much methimazole does the cat need to get every day?", "cat.md"}, {"What is the name of the vet we usually take Mishka to?", "cat.md"},
        {"I'd like to know in which month my passport expires", "passport.md"}, {"Do you remember where I put my passport?", "passport.md"},
        {"How long do I have to bake the rye bread?", "bread.md"}, {"How long will the ferry to Lofoten take us?", "trip.md"},
        {"Can you look up in my notes how many nights we booked in Reine?", "trip.md"},
        {"May ibuprofen and warfarin be taken together?", "dose.md"},
        {"Напомни, пожалуйста, во сколько уходит электричка до Комарово?", "dacha.md"}, {"Не помнишь, где у нас ключ от сарая?", "dacha.md"},
        {"Подскажи, сколько времени нужно запекать свёклу для борща?", "borsch.md"}, {"Когда там у меня заканчивается страховой полис?", "doc.md"},
        {"Посмотри в моих заметках, где лежит страховой полис", "doc.md"},
    };
    mem_store *s = household_in();
    double least = 1;
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) asked(s, t[i].q, NULL, t[i].name, &least);
    printf("# least score of an ordinary question about a note: %.2f\n", least);
    mem_close(s);
}

static void a_long_question_is_read_to_its_end(void)
{
    static const struct { const char *q, *name; } t[] = {
        {"Hello there, yesterday my elderly neighbour phoned me quite worried because her nephew returned from hospital carrying several boxes "
         "with unfamiliar labels, handwritten instructions, a crumpled invoice and discharge papers nobody could properly decipher, so please "
         "explain whether ibuprofen and warfarin may be taken together", "dose.md"},
        {"Здравствуйте, вчера моя пожилая соседка позвонила мне очень встревоженная, потому что её племянник вернулся из больницы с несколькими "
         "коробками с непонятными этикетками, рукописными указаниями, мятым счётом и выпиской, которую никто не смог разобрать, поэтому объясните, "
         "пожалуйста, можно ли ибупрофен и варфарин принимать вместе", "pills.md"},
        {"My mother came home from the hospital on Tuesday with a whole bag of boxes. She has been on warfarin since the operation, and the nurse "
         "told her to be careful. Now her knee hurts terribly after gardening, and the pharmacy is closed until Monday. In the cupboard I found an "
         "old packet of ibuprofen from my football days. Would it be safe to give her one of those tonight?", "dose.md"},
        {"We are planning the summer. My sister wants to hike, the children want to swim, and my husband insists on fishing. Somebody has to look "
         "after the house, feed the chickens and water the tomatoes while we are away. Anyway, how long was the ferry from Bodo?", "trip.md"},
    };
    mem_store *s = household_in();
    double least = 1;
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) asked(s, t[i].q, NULL, t[i].name, &least);
    printf("# least score of a long question: %.2f\n", least);
    /* a question at the end of pages of talk, and pages of talk that ask nothing */
    q_buf b = {0};
    for (int i = 0; i < 3000; i++) q_buf_printf(&b, "word%dx of a long letter%s ", i, i % 9 ? "" : ".");
    size_t letter = b.len;
    q_buf_puts(&b, ". Where is the water meter?");
    least = 1;
    asked(s, b.p, NULL, "flat.md", &least);
    b.p[letter] = 0;
    rag_result *r = ask(s, b.p);
    CHECK_INT(r->n_fed, 0);
    rag_result_free(r);
    q_buf_free(&b);
    mem_close(s);
}

static void a_question_that_points_back_is_searched_with_what_was_said(void)
{
    static const struct { const char *before, *q, *name; } t[] = {
        {"When does the last bus to the village leave on weekdays?", "And on Sundays?", "bus.md"},
        {"Who is my landlord?", "When is the rent due to him?", "flat.md"},
        {"What tablet does Mishka get?", "How often?", "cat.md"}, {"What tablet does Mishka get?", "And who is her vet?", "cat.md"},
        {"Where is my passport?", "When does it expire?", "passport.md"}, {"How long is the ferry to Lofoten?", "How many nights are we there?", "trip.md"},
        {"Tell me about the rye bread", "Say that again.", "bread.md"}, {"Где лежит страховой полис?", "А до какого месяца он действует?", "doc.md"},
        {"Когда электричка до Комарово?", "А с какого вокзала она идёт?", "dacha.md"},
    };
    mem_store *s = household_in();
    double least = 1;
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) asked(s, t[i].q, t[i].before, t[i].name, &least);
    printf("# least score of a question that points back: %.2f\n", least);
    /* one that stands by itself is not drawn to what was said before */
    static const char *const own[] = {"What is the capital of France?", "Write a poem about autumn leaves", "Who is my landlord?", "Какая столица Франции?"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        rag_config c = rag_config_default();
        rag_scope scope = {.budget = -1, .before = "When does the ferry to Lofoten leave?"};
        rag_result *r;
        OK(rag_search(s, &c, own[i], &scope, &r, err));
        for (int k = 0; k < r->n_fed; k++) CHECK_MSG(!strstr(r->v[k].label, "trip.md"), "\"%s\" was fed %s", own[i], r->v[k].label);
        rag_result_free(r);
    }
    mem_close(s);
}

static void common_words_are_not_fed_the_manual(void)
{
    static const char *const q[] = {"Say the first one again.", "Tell me more about the second one", "What was the last word of your answer?", "Go on",
        "Try again, but shorter", "Now write it as a list", "Can you show me another example?", "What does that mean?", "Why?", "Repeat the last line",
        "Count from one to ten", "Make the text longer", "Choose the best answer", "Open the door for me", "Give the whole answer in one line",
        "What is the first letter of the word?", "Change the name of the main character", "Start with a question", "Stop there, please",
        "Повтори первое ещё раз", "Продолжай", "А теперь короче", "Сделай список", "Что значит последнее слово?", "Напиши это в одну строку",
        "Выбери лучший ответ", "Измени имя главного героя", "Начни с вопроса", "Сколько слов в ответе?", "Найди ошибку в тексте"};
    mem_store *s = open_new();
    manual_in(s);
    double worst = 0;
    for (size_t i = 0; i < sizeof q / sizeof *q; i++) {
        rag_result *r = ask(s, q[i]);
        CHECK_MSG(r->n_fed == 0, "\"%s\" was fed %s %.2f", q[i], r->n ? r->v[0].label : "", r->n ? r->v[0].score : 0);
        if (r->n && r->v[0].score > worst) worst = r->v[0].score;
        rag_result_free(r);
    }
    printf("# best score of common words: %.2f\n", worst);
    mem_close(s);
}

static int one_token_a_byte(void *user, const char *t, size_t n) { ++*(int *)user; return (int)n; }

static void budget_count_and_repeats_cut_with_a_reason(void)
{
    mem_store *s = open_new();
    int64_t id;
    char text[5][64];
    for (int i = 0; i < 5; i++) {
        snprintf(text[i], sizeof text[i], "kestrel sighting %d above the quarry", i == 4 ? 0 : i);   /* the last repeats the first */
        char *name = q_printf("/k%d", i);
        OK(rag_add_text(s, name, name, MEM_TRUST_OWN, text[i], strlen(text[i]), &id, err));
        free(name);
    }
    int counted = 0;
    rag_config c = rag_config_default();
    c.max_passages = 2;
    rag_scope scope = {.budget = 1000, .count = one_token_a_byte, .user = &counted};
    rag_result *r;
    OK(rag_search(s, &c, "kestrel quarry sighting", &scope, &r, err));
    CHECK_INT(r->n, 5);
    CHECK_INT(r->n_fed, 2);
    CHECK_INT(r->n_fed + r->n_over + r->n_below, r->n);
    CHECK_INT(r->n_repeat, 1);           /* of those over, told apart: the budget did not cut it */
    CHECK_INT(counted, 2);
    int repeats = 0, over = 0;
    for (int i = 0; i < r->n; i++) {
        CHECK_INT(r->v[i].rank, i + 1);
        if (i) CHECK(r->v[i].score <= r->v[i - 1].score);
        repeats += r->v[i].fate == RAG_REPEATS;
        over += r->v[i].fate == RAG_OVER_COUNT;
        double sq = 0;                                             /* the numbers add up as rag.h says */
        for (int j = 0; j < r->n_term; j++) { double ws = r->term[j].weight * r->v[i].presence[j]; sq += ws * ws; }
        CHECK(fabs(r->v[i].signal[1] - sq / (sq + 16)) <= .0005);
        CHECK(fabs(r->v[i].score - r->v[i].signal[0] * r->v[i].signal[1] * r->v[i].signal[3]) < 1e-8);
    }
    CHECK_INT(repeats, 1);
    CHECK_INT(over, 2);
    rag_result_free(r);
    scope.budget = 40;                                                      /* room for one of 35 bytes */
    OK(rag_search(s, &c, "kestrel quarry sighting", &scope, &r, err));
    CHECK_INT(r->n_fed, 1);
    CHECK_INT(r->v[1].fate, RAG_OVER_BUDGET);
    q_buf b = {0};
    CHECK_STR(rag_summary(r, &b), "1 fed, 35 tok");
    q_buf_clear(&b);
    rag_explain(r, &b);
    CHECK(strstr(b.p, "[1]") && strstr(b.p, "kestrel") && strstr(b.p, "room for 5"));
    q_buf_free(&b);
    int64_t conv, msg;
    OK(mem_conversation_new(s, "c", &conv, err));
    OK(mem_message_add(s, conv, 0, MEM_USER, "q", 1, &msg, err));
    OK(rag_log(s, msg, r, err));
    mem_logs l;
    OK(mem_log_get(s, msg, &l, err));
    CHECK_INT(l.n, r->n);
    if (l.n > 1) { CHECK_INT(l.v[0].number, 1); CHECK_STR(l.v[1].reason, "budget 35 5"); CHECK(strstr(l.v[0].terms, "kestrel")); }
    mem_logs_free(&l);
    rag_result_free(r);
    c.on = false;
    OK(rag_search(s, &c, "kestrel", NULL, &r, err));
    CHECK(!r->searched && r->n == 0);
    q_buf why = {0};
    CHECK_STR(rag_summary(r, &why), "not searched: memory.on is off");      /* the reason, not only that it was so */
    q_buf_free(&why);
    rag_result_free(r);
    c.on = true, c.max_passages = 0;
    OK(rag_search(s, &c, "kestrel sighting", NULL, &r, err));
    CHECK_INT(r->n_fed, 0);
    rag_result_free(r);
    OK(rag_search(s, &c, "\" OR ( NEAR * ^ {", NULL, &r, err));
    rag_result_free(r);
    mem_close(s);
}

/* What a log says of a conversation is said in the language of whoever looks, also of one that an older quorum wrote. */
static void a_label_of_a_talk_is_made_when_it_is_shown(void)
{
    mem_store *s = open_new();
    int64_t a, b, m, asked;
    rag_config c = rag_config_default();
    rag_scope scope = {.budget = -1};
    rag_result *r;
    mem_logs l;
    mem_turn turn = {.role = MEM_USER, .author = "Marta", .text = "the greenhouse tomato is called Moneymaker", .n = 42, .created_ms = 1764244800000};
    OK(mem_conversation_new(s, "plants", &a, err));
    OK(mem_turns_add(s, a, 0, &turn, 1, &m, err));
    OK(mem_conversation_new(s, "now", &b, err));
    OK(mem_message_add(s, b, 0, MEM_USER, "q", 1, &asked, err));
    scope.conversation = b;
    OK(rag_search(s, &c, "greenhouse tomato Moneymaker", &scope, &r, err));
    CHECK(r->n == 1 && r->v[0].kind == MEM_CHAT && strstr(r->v[0].label, "27 Nov: plants"));
    OK(rag_log(s, asked, r, err));
    rag_result_free(r);
    OK(mem_log_get(s, asked, &l, err));
    CHECK_STR(l.n ? l.v[0].label : "none", "");
    mem_logs_free(&l);
    for (int old = 0; old < 2; old++) {
        if (old) {
            store_lock(s);
            OK(store_run(s, NULL, err, "UPDATE retrieval SET label='разговор 27 ноя: plants'", ""));
            store_unlock(s);
        }
        OK(rag_log_get(s, asked, &l, err));
        CHECK(l.n == 1);
        CHECK_STR(l.n ? l.v[0].label : "", "chat of 27 Nov: plants");
        mem_logs_free(&l);
    }
    OK(mem_messages_delete(s, &m, 1, NULL, err));
    OK(rag_log_get(s, asked, &l, err));
    CHECK_STR(l.n ? l.v[0].label : "none", "");
    mem_logs_free(&l);
    mem_close(s);
}

static void past_chats_are_found_and_the_present_one_is_not(void)
{
    mem_store *s = open_new();
    int64_t a, b, m, rep;
    OK(mem_conversation_new(s, "greenhouse", &a, err));
    OK(mem_conversation_new(s, "now", &b, err));
    OK(mem_message_add(s, a, 0, MEM_USER, "Which tomato did I plant in the greenhouse?", 43, &m, err));
    q_buf t = {0};
    for (int i = 0; i < 40; i++) q_buf_printf(&t, "Padding sentence %d of a long reply about weather. ", i);
    q_buf_puts(&t, "\n\nThe tomato you planted in the greenhouse is Black Krim.\n\n");
    for (int i = 0; i < 40; i++) q_buf_printf(&t, "More padding %d that says little. ", i);
    OK(mem_reply_begin(s, a, m, "m", 1, 1, "{}", "", &rep, err));
    OK(mem_reply_end(s, rep, MEM_DONE, "eos", t.p, t.len, "", 0, NULL, NULL, err));
    q_buf_free(&t);
    rag_config c = rag_config_default();
    c.answers = true;
    rag_scope scope = {.conversation = b, .budget = -1};
    rag_result *r;
    OK(rag_search(s, &c, "which tomato is in the greenhouse?", &scope, &r, err));
    CHECK_INT(r->n_fed, 1);                                                 /* the reply; not the question */
    if (r->n_fed) {
        CHECK(strstr(r->v[0].text, "Black Krim") && strlen(r->v[0].text) <= 1400);
        CHECK(strstr(r->v[0].label, "greenhouse") != NULL);
        CHECK_INT(r->v[0].trust, MEM_TRUST_MODEL);
        CHECK(r->v[0].offset > 500);
    }
    rag_result_free(r);
    scope.conversation = a;
    OK(rag_search(s, &c, "which tomato is in the greenhouse?", &scope, &r, err));
    CHECK_INT(r->n, 0);
    rag_result_free(r);
    scope.conversation = b, c.chats = false;
    OK(rag_search(s, &c, "which tomato is in the greenhouse?", &scope, &r, err));
    CHECK_INT(r->n, 0);
    rag_result_free(r);
    mem_close(s);
}

/* An answer that does not say its subject again is found by the question it answers, and who is asked about comes first. */
static void what_stands_around_a_turn_finds_it(void)
{
    static const mem_turn v[] = {
        {MEM_USER, "Ada", "The market was full of apricots.", 32, 1683554160000}, {MEM_USER, "Bo", "Where did you go camping?", 25, 1683554160000},
        {MEM_USER, "Ada", "By the fjord, near the old mill.", 32, 1683554160000}, {MEM_USER, "Bo", "Lovely.", 7, 1683554160000},
        {MEM_USER, "Ada", "We stayed two nights.", 21, 1683554160000}, {MEM_USER, "Bo", "I bought a canoe.", 17, 1683554160000},
        {MEM_USER, "Ada", "I bought a canoe.", 17, 1683554160000}, {MEM_USER, "Ada", "The cellar flooded.", 19, 1686836160000},
    };
    enum { TURNS = sizeof v / sizeof *v };
    static const struct { const char *q, *want; int nth; } t[] = {
        {"Where did Ada go camping?", "By the fjord", 2}, {"Did Ada buy the canoe?", "I bought", 6}, {"Did Bo buy the canoe?", "I bought", 5},
        {"What happened in June 2023?", "The cellar", 7}, {"Что было 15 июня 2023?", "The cellar", 7},
    };
    mem_store *s = open_new();
    int64_t c, leaf;
    OK(mem_conversation_new(s, "trip", &c, err));
    OK(mem_turns_add(s, c, 0, v, TURNS, &leaf, err));
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        rag_result *r = ask(s, t[i].q);
        CHECK_MSG(r->n > 0 && strncmp(r->v[0].text, t[i].want, strlen(t[i].want)) == 0 && r->v[0].id == leaf - TURNS + 1 + t[i].nth, "\"%s\": %s", t[i].q,
                  r->n ? r->v[0].text : "nothing");
        if (r->n) CHECK(fabs(r->v[0].match - 1) < 1e-9);
        for (int k = 1; k < r->n; k++) CHECK(r->v[k].match <= r->v[k - 1].match);
        rag_result_free(r);
    }
    mem_close(s);
}

/* Of two talks that say the same that one is meant in which somebody takes part whom the question names. */
static void a_talk_with_whom_is_named_comes_first(void)
{
    mem_store *s = open_new();
    for (int i = 0; i < 2; i++) {
        const char *text = "The canoe was sold in spring.", *who = i ? "Bo" : "Ada";
        mem_turn v[] = {{MEM_USER, who, "Good morning.", 13, 1683554160000}, {MEM_USER, "Cleo", text, strlen(text), 1683554160000}};
        int64_t c, leaf;
        OK(mem_conversation_new(s, who, &c, err));
        OK(mem_turns_add(s, c, 0, v, 2, &leaf, err));
    }
    for (int i = 0; i < 2; i++) {
        rag_result *r = ask(s, i ? "When did Bo hear of the canoe?" : "When did Ada hear of the canoe?");
        CHECK_MSG(r->n >= 2 && strstr(r->v[0].label, i ? "Bo" : "Ada") != NULL && r->v[0].match > r->v[1].match, "%s", r->n ? r->v[0].label : "nothing");
        rag_result_free(r);
    }
    mem_close(s);
}

/* What leads names another note by its title: that one comes in behind it, before notes that only share a word. */
static void what_leads_is_read_on(void)
{
    static const struct { const char *title, *text; } v[] = {
        {"notes/Aurora.md", "Aurora is led by Marta Lindqvist since spring."}, {"notes/Marta Lindqvist.md", "Prefers oolong in the afternoon."},
        {"notes/Borealis.md", "Borealis waits; its leader is away."}, {"notes/c.md", "Nothing to see."}, {"notes/Harbour (town).md", "The ferry calls twice a day."},
        {"notes/spring.md", "Sowing begins in the harbour."},
    };
    mem_store *s = open_new();
    int64_t id;
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) OK(rag_add_text(s, v[i].title, v[i].title, MEM_TRUST_OWN, v[i].text, strlen(v[i].text), &id, err));
    rag_config c = rag_config_default();
    c.min_score = 0;
    rag_result *r;
    OK(rag_search(s, &c, "Who leads Aurora?", NULL, &r, err));
    CHECK_MSG(r->n >= 2 && strcmp(r->v[0].label, v[0].title) == 0 && strcmp(r->v[1].label, v[1].title) == 0, "%d: %s, %s", r->n, r->n ? r->v[0].label : "",
              r->n > 1 ? r->v[1].label : "");
    rag_result_free(r);
    mem_link *l;
    int n;
    static const struct { const char *text; int n, nth; } named[] = {
        {"The Harbour was quiet", 1, 4}, {"the town harbour (town)", 1, 4}, {"MARTA LINDQVIST's boat", 1, 1}, {"Marta, Lindqvist", 1, 1}, {"Marta wrote c", 0, 0}, {"", 0, 0}};
    for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
        OK(mem_links(s, named[i].text, strlen(named[i].text), 0, &l, &n, err));
        CHECK_MSG(n == named[i].n && (!n || (l->document == named[i].nth + 1 && l->degree == 1)), "\"%s\": %d", named[i].text, n);
        free(l);
    }
    OK(mem_named_by(s, 5, &l, &n, err));
    CHECK(n == 1 && l->document == 6);
    free(l);
    OK(mem_named_by(s, 4, &l, &n, err));
    CHECK_INT(n, 0);
    free(l);
    mem_close(s);
}

static int64_t talk(mem_store *s, const char *question, const char *answer)
{
    int64_t c, m, rep;
    OK(mem_conversation_new(s, question, &c, err));
    OK(mem_message_add(s, c, 0, MEM_USER, question, strlen(question), &m, err));
    OK(mem_reply_begin(s, c, m, "m", 1, 1, "{}", "", &rep, err));
    OK(mem_reply_end(s, rep, MEM_DONE, "eos", answer, strlen(answer), "", 0, NULL, NULL, err));
    return c;
}

/* A small model says again, word for word, what it is fed as an answer to this very question, or the question itself. */
static void the_same_question_elsewhere_is_not_fed(void)
{
    static const struct { const char *asked, *now; int fed; } cases[] = {
        {"Write a short poem about the kestrel.", "Write a short poem about the kestrel.", 0},
        {"Write a short poem about the kestrel.", "write a short poem about kestrels", 0},
        {"Where does the kestrel nest?", "Where do kestrels nest", 0},
        {"Where does the kestrel nest?", "Where does the kestrel hunt?", 1},
        {"Where does the kestrel nest?", "What did you say about the kestrel's nest?", 1},
        {"How far is 12 kestrel miles?", "How far is 15 kestrel miles?", 1},
        {"Где гнездится пустельга?", "где же гнездится пустельга", 0},
        {"Где гнездится пустельга?", "Где охотится пустельга?", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mem_store *s = open_new();
        talk(s, cases[i].asked, "A kestrel will nest, hunt and fly many miles above the belfry. Пустельга гнездится и охотится над колокольней.");
        rag_config c = rag_config_default();
        c.min_score = 0;
        c.answers = true;
        rag_result *r;
        q_buf b = {0};
        OK(rag_search(s, &c, cases[i].now, NULL, &r, err));
        CHECK_MSG((r->n_fed > 0) == cases[i].fed && r->n > 0, "%s / %s: %d of %d fed", cases[i].asked, cases[i].now, r->n_fed, r->n);
        CHECK_INT(r->n_fed + r->n_over + r->n_below, r->n);
        if (!cases[i].fed) {
            CHECK_INT(r->n_repeat, r->n);
            CHECK_MSG(strstr(rag_summary(r, &b), "is this question in another conversation") != NULL, "%s", b.p);
            CHECK_STR(rag_fate_word(r->v[0].fate), "same");
        }
        q_buf_free(&b);
        rag_result_free(r);
        mem_close(s);
    }
}

/* Letters with their marks apart, as macOS writes names and some programs texts, are the same letters; case and "ё" do not
 * part words in any alphabet. */
static void spelling_of_letters_does_not_part_words(void)
{
    /* "Синий чайник", "Café Zürich", with and without composed letters */
    static const char apart[] = "Син\u0438\u0438\u0306 ча\u0438\u0306ник у Е\u0308лки, Cafe\u0301 Zu\u0308rich\n", whole[] = "Синий чайник у Ёлки, Caf\u00E9 Z\u00FCrich\n";
    static const char *const asked[] = {"ЧАЙНИК", "чайники", "ча\u0438\u0306ник", "елка", "Ёлка", "Е\u0308лка", "cafe zurich", "CAF\u00C9 Z\u00DCRICH", "Cafe\u0301 Zu\u0308rich"};
    for (int k = 0; k < 2; k++) {
        mem_store *s = open_new();
        int64_t id;
        OK(rag_add_text(s, "/a.md", "a.md", MEM_TRUST_OWN, k ? whole : apart, k ? sizeof whole - 1 : sizeof apart - 1, &id, err));
        for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
            rag_result *r = ask(s, asked[i]);
            CHECK_MSG(r->n_fed == 1, "%s: %d fed", asked[i], r->n_fed);
            rag_result_free(r);
        }
        mem_close(s);
    }
}

/* What the person's own file says is fed however often it was asked for. */
static void a_note_is_fed_again(void)
{
    mem_store *s = open_new();
    int64_t id;
    static const char note[] = "# Belfry\n\nThe kestrel nests in the belfry.\n";
    OK(rag_add_text(s, "/belfry.md", "belfry.md", MEM_TRUST_OWN, note, sizeof note - 1, &id, err));
    talk(s, "Where does the kestrel nest?", "The kestrel nests in the belfry [1].");
    rag_result *r = ask(s, "Where does the kestrel nest?");
    CHECK_INT(r->n_fed, 1);
    if (r->n) CHECK_INT(r->v[0].kind, MEM_CHUNK);
    rag_result_free(r);
    mem_close(s);
}

/* The question stands in memory before memory is searched for it: its words are not known by that, nor by what else was said
 * in its conversation, which is no candidate. */
static void a_question_does_not_know_itself(void)
{
    static const char question[] = "Does the quetzal sing in the greenhouse?", other[] = "A tomato grows in the greenhouse.";
    mem_store *s = open_new();
    int64_t here, there, m;
    OK(mem_conversation_new(s, "there", &there, err));
    OK(mem_message_add(s, there, 0, MEM_USER, other, strlen(other), &m, err));
    OK(mem_conversation_new(s, "here", &here, err));
    OK(mem_message_add(s, here, 0, MEM_USER, other, strlen(other), &m, err));
    OK(mem_message_add(s, here, m, MEM_USER, question, strlen(question), &m, err));
    OK(mem_message_add(s, there, 0, MEM_USER, other, strlen(other), &m, err));      /* the ids of both are mixed */
    rag_config c = rag_config_default();
    for (int known = 0; known < 2; known++) {
        rag_scope scope = {.conversation = known ? 0 : here, .budget = -1};
        rag_result *r;
        OK(rag_search(s, &c, question, &scope, &r, err));
        int seen = 0;
        for (int i = 0; i < r->n_term; i++) {
            const rag_term *t = &r->term[i];
            if (t->weight <= 0) continue;
            bool quetzal = strcmp(t->word, "quetzal") == 0, house = strcmp(t->word, "greenhouse") == 0;
            seen += quetzal + house;
            CHECK_INT(t->of, known ? 4 : 2);
            if (quetzal) CHECK_INT(t->with, known);
            if (house) CHECK_INT(t->with, known ? 4 : 2);
        }
        CHECK_INT(seen, 2);
        q_buf b = {0};
        rag_explain(r, &b);
        CHECK_MSG(known || strstr(b.p, "(0 / 2)"), "%s", b.p);
        q_buf_free(&b);
        rag_result_free(r);
    }
    mem_close(s);
}

/* The manual is there in two languages and takes one place: the question's language. */
static void one_manual_is_fed(void)
{
    static const char *const form[] = {"what is %s?", "что такое %s?", "%s", "how do I set %s and why", "как задать %s и зачем"};
    mem_store *s = open_new();
    manual_in(s);
    int n, asked = 0, both = 0, wrong = 0;
    const q_knob *knob = eng_knobs(&n);
    rag_config c = rag_config_default();
    OK(rag_config_set(&c, "memory.max_passages", "10", err));
    OK(rag_config_set(&c, "memory.min_score", "0.05", err));
    for (int i = 0; i < n; i++)
        for (size_t f = 0; f < sizeof form / sizeof *form; f++) {
            char *q = q_printf(form[f], knob[i].name);
            rag_result *r;
            OK(rag_search(s, &c, q, NULL, &r, err));
            int title[2] = {0, 0};
            for (int p = 0; p < r->n; p++) title[strncmp(r->v[p].label, "manual", 6) == 0]++;
            both += title[0] && title[1];
            wrong += title[f == 1 || f == 4] > 0;
            asked++;
            rag_result_free(r);
            free(q);
        }
    CHECK(asked > 100);
    CHECK_INT(both, 0);
    CHECK_INT(wrong, 0);
    mem_close(s);
}

static void passages_read_the_same_in_every_language_and_zone(void)
{
    mem_store *s = open_new();
    int64_t a, m, rep, id;
    OK(mem_conversation_new(s, "green\nhouse", &a, err));
    OK(mem_message_add(s, a, 0, MEM_USER, "Which tomato grows in the greenhouse?", 37, &m, err));
    OK(mem_reply_begin(s, a, m, "m", 1, 1, "{}", "", &rep, err));
    OK(mem_reply_end(s, rep, MEM_DONE, "eos", "The tomato in the greenhouse is Black Krim.", 43, "", 0, NULL, NULL, err));
    static const char note[] = "# Beds\n\nTomato beds of the greenhouse face south.\n";
    OK(rag_add_text(s, "/odd", "odd\r\nname\u2028.md", MEM_TRUST_OWN, note, sizeof note - 1, &id, err));
    static const char *const zones[] = {"UTC0", "XXX-14", "XXX12"};
    char *first[2] = {NULL, NULL};
    int shown = 0;
    for (int z = 0; z < 3; z++) {
        setenv("TZ", zones[z], 1);
        tzset();
        rag_result *r = ask(s, "tomato greenhouse");
        CHECK_INT(r->n, 2);
        for (int i = 0; i < r->n; i++) {
            bool chat = r->v[i].kind == MEM_CHAT;
            const char *c = r->v[i].cite;
            if (!first[chat]) first[chat] = q_strdup(c);
            CHECK_STR(c, first[chat]);
            CHECK(!strpbrk(c, "\r\n") && !strstr(c, "\u2028") && !strpbrk(r->v[i].label, "\r\n"));
            if (chat) CHECK_MSG(sscanf(c, "chat of %*4d-%*2d-%*2d: green house%n", &shown) == 0 && shown > 20, "%s", c);
        }
        rag_result_free(r);
    }
    unsetenv("TZ");
    tzset();
    free(first[0]);
    free(first[1]);
    mem_close(s);
}

static void a_removed_manual_stays_away(void)
{
    mem_store *s = open_new();
    manual_in(s);
    mem_document d;
    OK(mem_document_by_path(s, "manual:en", &d, err));
    OK(rag_remove(s, d.id, err));
    CHECK_INT(rag_remove(s, d.id, err), Q_NOTFOUND);
    mem_document_free(&d);
    OK(rag_manual(s, err));
    CHECK_INT(mem_document_by_path(s, "manual:en", &d, err), Q_NOTFOUND);
    OK(mem_document_by_path(s, "manual:ru", &d, err));
    /* an older text under the manual's name is renewed */
    int64_t id;
    OK(rag_add_text(s, "manual:ru", "справка", MEM_TRUST_MANUAL, "старое", 12, &id, err));
    OK(rag_manual(s, err));
    mem_document e;
    OK(mem_document_by_path(s, "manual:ru", &e, err));
    CHECK_STR(e.sha256, d.sha256);
    mem_document_free(&d);
    mem_document_free(&e);
    mem_close(s);
}

/* Many notes elsewhere say more of the question; what is asked for in some sources alone is found there all the same. */
static void only_some_sources_are_searched(void)
{
    mem_store *s = open_new();
    int64_t id, chat, now, leaf = 0;
    for (int i = 0; i < 150; i++) {
        char *title = q_printf("diary/%d.md", i), *text = q_printf("The lighthouse keeper of the northern island wrote entry %d of the lighthouse keeper's log.", i);
        OK(rag_add_text(s, title, title, MEM_TRUST_OWN, text, strlen(text), &id, err));
        free(title);
        free(text);
    }
    static const char weak[] = "A keeper of bees lives near the old lighthouse and sells honey on Fridays when the weather is fine and the road to the village is dry.";
    OK(rag_add_text(s, "p", "Papers/2025/bees.md", MEM_TRUST_OWN, weak, sizeof weak - 1, &id, err));
    OK(mem_conversation_new(s, "Harbour talks", &chat, err));
    OK(mem_conversation_new(s, "now", &now, err));
    mem_turn turn = {.role = MEM_USER, .author = "Marta", .text = "the lighthouse keeper retired in May", .n = 36, .created_ms = 1764244800000};
    OK(mem_turns_add(s, chat, 0, &turn, 1, &leaf, err));
    static const struct { const char *of[2]; int n; const char *want[2]; } t[] = {
        {{"PAPERS/2025"}, 1, {"Papers/2025/bees.md"}}, {{"harbour"}, 1, {"Harbour talks"}}, {{"papers", "Harbour talks"}, 2, {"Papers/2025/bees.md", "Harbour talks"}}, {{"nowhere"}, 1, {NULL}} };
    rag_config c = rag_config_default();
    c.min_score = 0;
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        rag_scope scope = {.budget = -1, .conversation = now, .of = t[i].of, .n_of = t[i].n};
        rag_result *r;
        int want = 0, found = 0;
        OK(rag_search(s, &c, "who is the lighthouse keeper of the northern island", &scope, &r, err));
        for (int k = 0; k < 2 && t[i].want[k]; k++, want++)
            for (int j = 0; j < r->n; j++) found += strstr(r->v[j].label, t[i].want[k]) != NULL;
        CHECK_MSG(r->n == want && found == want && r->n_fed == want, "%s: %d found, %d of those wanted, %d fed", t[i].of[0], r->n, found, r->n_fed);
        rag_result_free(r);
    }
    rag_result *r;
    OK(rag_search(s, &c, "who is the lighthouse keeper of the northern island", &(rag_scope){.budget = -1, .conversation = now}, &r, err));
    for (int j = 0; j < r->n; j++) CHECK_MSG(!strstr(r->v[j].label, "Papers"), "%s", r->v[j].label);     /* 150 stand before it */
    rag_result_free(r);
    mem_close(s);
}

int main(void)
{
    RUN(markdown_is_cut_at_its_joints);
    RUN(chunks_of_random_bytes_cover_and_stay_inside);
    RUN(knobs_take_what_the_table_allows);
    RUN(the_manual_answers_what_it_is_about);
    RUN(the_manual_names_every_knob_and_command);
    RUN(everyday_questions_feed_nothing);
    RUN(a_note_is_fed_to_questions_about_it);
    RUN(a_cut_makes_no_words);
    RUN(ordinary_phrasing_is_enough);
    RUN(a_long_question_is_read_to_its_end);
    RUN(a_question_that_points_back_is_searched_with_what_was_said);
    RUN(common_words_are_not_fed_the_manual);
    RUN(budget_count_and_repeats_cut_with_a_reason);
    RUN(a_label_of_a_talk_is_made_when_it_is_shown);
    RUN(past_chats_are_found_and_the_present_one_is_not);
    RUN(what_stands_around_a_turn_finds_it);
    RUN(a_talk_with_whom_is_named_comes_first);
    RUN(what_leads_is_read_on);
    RUN(the_same_question_elsewhere_is_not_fed);
    RUN(a_note_is_fed_again);
    RUN(spelling_of_letters_does_not_part_words);
    RUN(passages_read_the_same_in_every_language_and_zone);
    RUN(a_removed_manual_stays_away);
    RUN(a_question_does_not_know_itself);
    RUN(one_manual_is_fed);
    RUN(only_some_sources_are_searched);
    return TEST_END();
}
