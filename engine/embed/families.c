/* engine/embed/families: what families of embedding models were taught to see before a question and before a passage, by
 * their model cards. Constant data. */
#include "engine/embed/embedder.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define WEB "Given a web search query, retrieve relevant passages that answer the query"

/* Part of the name in lower case with '-' between words; the first that fits. */
static const embed_family rows[] = {
    { "e5-large-instruct", "Instruct: " WEB "\nQuery: ", "" },
    { "e5-mistral", "Instruct: " WEB "\nQuery: ", "" },
    { "e5-", "query: ", "passage: " },
    { "nomic-embed", "search_query: ", "search_document: " },
    { "qwen3-embedding", "Instruct: " WEB "\nQuery:", "" },
    { "bge-small-en", "Represent this sentence for searching relevant passages: ", "" },
    { "bge-base-en", "Represent this sentence for searching relevant passages: ", "" },
    { "bge-large-en", "Represent this sentence for searching relevant passages: ", "" },
    { "mxbai-embed", "Represent this sentence for searching relevant passages: ", "" },
    { "arctic-embed-m-v2", "query: ", "" },
    { "arctic-embed-l-v2", "query: ", "" },
    { "arctic-embed", "Represent this sentence for searching relevant passages: ", "" },
    { "", "", "" },
};

const embed_family *embed_family_of(const char *name)
{
    char low[200];
    size_t n = 0;
    for (; name[n] && n + 2 < sizeof low; n++) low[n] = strchr(" _", name[n]) ? '-' : (char)tolower((unsigned char)name[n]);
    low[n] = '-';
    low[n + 1] = 0;
    const embed_family *f = rows;
    for (; *f->name; f++)
        for (const char *at = strstr(low, f->name); at; at = strstr(at + 1, f->name))
            if (at == low || at[-1] == '-' || at[-1] == '/') return f;
    return f;
}
