/* the map of the memory: every passage and message is counted once, in its language, form and month. */
#include "rag/rag.h"
#include "tests/memory_help.h"

#include <cjson/cJSON.h>

static mem_store *store;

static void add(const char *path, const char *text)
{
    int64_t id;
    mem_chunk *c;
    int n = rag_chunk(text, strlen(text), RAG_PLAIN, &c);
    mem_document d = { .path = (char *)path, .title = (char *)path, .name = (char *)path, .trust = MEM_TRUST_OWN, .bytes = (int64_t)strlen(text) };
    OK(mem_document_put(store, &d, c, n, &id, err));
    rag_chunks_free(c, n);
}

static int64_t number(const cJSON *o, const char *a, const char *b)
{
    const cJSON *x = cJSON_GetObjectItem(o, a);
    x = b ? cJSON_GetObjectItem(x, b) : x;
    return cJSON_IsNumber(x) ? (int64_t)x->valuedouble : -1;
}

static int64_t sum(const cJSON *o)
{
    int64_t n = 0;
    for (const cJSON *x = o ? o->child : NULL; x; x = x->next) n += (int64_t)x->valuedouble;
    return n;
}

static int64_t month(const cJSON *o, const char *name, const char *field)
{
    const cJSON *x;
    cJSON_ArrayForEach(x, cJSON_GetObjectItem(o, "months"))
        if (strcmp(cJSON_GetObjectItem(x, "month")->valuestring, name) == 0) return number(x, field, NULL);
    return 0;
}

static void everything_is_counted_once(void)
{
    int64_t chat, leaf, other;
    OK(mem_open(":memory:", &store, err));
    add("/n/sea.md", "The sea is deep and the ship was lost in it for many years.");
    add("/n/more.MD", "It was one of the ships that sailed to the north.");
    add("/n/море.txt", "Корабль вышел в море и не вернулся, а капитан ждал его на берегу.");
    add("/n/code.c", "memcpy(dst, src, n); return dst->field[idx] + offset;");
    add("/n/names.txt", "Петров, Иванов, Сидоров: Москва, Казань, Рязань.");
    add("/n/海", "船は海へ出て、二度と戻らなかった。");
    add("/n/gone.txt", "It was there and then it was not.");
    mem_document gone;
    OK(mem_document_by_path(store, "/n/gone.txt", &gone, err));
    OK(mem_documents_gone(store, &gone.id, 1, err));
    OK(mem_ban_put(store, MEM_CHUNK, gone.id, true, err));
    mem_document_free(&gone);
    OK(mem_conversation_new(store, "talk", &chat, err));
    const mem_turn turns[] = { { MEM_USER, NULL, "Where is the ship that was lost?", 32, 1735689600000 /* 2025-01-01 */ },
                               { MEM_ASSISTANT, NULL, "Он не вернулся, и никто не знает, где он.", strlen("Он не вернулся, и никто не знает, где он."), 1738368000000 /* 2025-02-01 */ },
                               { MEM_USER, NULL, "And the captain of it?", 22, 1738368060000 } };
    OK(mem_turns_add(store, chat, 0, turns, 3, &leaf, err));
    OK(mem_pin_put(store, chat, &(mem_pin){ .kind = MEM_CHUNK, .ref = 1, .n = -1 }, err));
    OK(mem_conversation_new(store, "to be deleted", &other, err));
    OK(mem_turns_add(store, other, 0, turns, 1, &leaf, err));
    OK(mem_conversation_delete(store, other, err));

    q_buf b = { 0 };
    char *json = NULL;
    OK(rag_map(store, NULL, NULL, &b, &json, err));
    cJSON *o = cJSON_Parse(json);
    CHECK(o != NULL);
    CHECK_INT(number(o, "documents", "own"), 7);
    CHECK_INT(number(o, "documents", "gone"), 1);
    CHECK_INT(number(o, "passages", "own"), 7);
    CHECK_INT(number(o, "conversations", "all"), 1);
    CHECK_INT(number(o, "messages", "people"), 2);
    CHECK_INT(number(o, "messages", "models"), 1);
    CHECK_INT(number(o, "pins", NULL), 1);
    CHECK_INT(number(o, "bans", NULL), 1);
    CHECK_INT(number(o, "languages", "en"), 5);
    CHECK_INT(number(o, "languages", "ru"), 2);
    CHECK_INT(number(o, "languages", "latin"), 1);
    CHECK_INT(number(o, "languages", "cyrillic"), 1);
    CHECK_INT(number(o, "languages", "other"), 1);
    CHECK_INT(sum(cJSON_GetObjectItem(o, "languages")), 10);
    CHECK_INT(number(o, "forms", "md"), 2);
    CHECK_INT(number(o, "forms", "txt"), 3);
    CHECK_INT(number(o, "forms", "c"), 1);
    CHECK_INT(number(o, "forms", "-"), 1);
    CHECK_INT(month(o, "2025-01", "messages"), 1);
    CHECK_INT(month(o, "2025-02", "messages"), 2);
    CHECK_INT(month(o, "2025-01", "bytes"), 32);
    int64_t bytes = 0, documents = 0;
    const cJSON *x;
    cJSON_ArrayForEach(x, cJSON_GetObjectItem(o, "months")) bytes += number(x, "bytes", NULL), documents += number(x, "documents", NULL);
    CHECK_INT(documents, 7);
    CHECK_INT(bytes, number(o, "bytes", "own") + number(o, "bytes", "messages"));
    CHECK(number(o, "bytes", "file") > 0 && number(o, "bytes", "free") >= 0);
    CHECK_MSG(strstr(b.p, "documents 7, conversations 1") && strstr(b.p, "2025-02") && strstr(b.p, "Russian") && strstr(b.p, "md"), "%s", b.p);
    cJSON_Delete(o);
    free(json);
    q_buf_free(&b);
    mem_close(store);
}

static bool one_more(void *user) { return ++*(int *)user < 3; }

static void nothing_and_a_stop(void)
{
    q_buf b = { 0 };
    char *json = NULL;
    int asked = 0;
    OK(mem_open(":memory:", &store, err));
    OK(rag_map(store, NULL, NULL, &b, &json, err));
    CHECK(strstr(b.p, "documents 0, conversations 0") && !strstr(b.p, "nan"));
    free(json);
    json = NULL;
    for (int i = 0; i < 5; i++) {
        char name[32];
        snprintf(name, sizeof name, "/n/%d.md", i);
        add(name, "a text");
    }
    CHECK_INT(rag_map(store, one_more, &asked, NULL, &json, err), Q_CANCEL);
    CHECK(asked == 3 && !json);
    q_buf_free(&b);
    mem_close(store);
}

int main(void)
{
    setenv("TZ", "UTC", 1);
    if (!memory_begin("map")) return 1;
    RUN(everything_is_counted_once);
    RUN(nothing_and_a_stop);
    return memory_end();
}
