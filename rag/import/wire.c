/* rag/import/wire: why a file cannot be read, in words. Pure function; any thread. */
#include "rag/import/wire.h"

const char *read_words(enum read_why why)
{
    static const char *const words[READ_WHYS] = {
        [READ_CUT] = N_("the archive is damaged or was not loaded to its end"),
        [READ_DAMAGED] = N_("it is damaged"),
        [READ_LOCKED] = N_("it is locked with a password"),
        [READ_PACKED] = N_("it is packed in a way that is not known here: unpack it first"),
        [READ_MUCH] = N_("more comes out of it than any document holds"),
        [READ_MUCH_OF_ALL] = N_("more comes out of it than any archive holds: unpack it first"),
        [READ_MANY] = N_("it holds more files than any archive of conversations: unpack it first"),
        [READ_NO_WORDS] = N_("there are no words in it"),
        [READ_OTHER] = N_("it is an archive that is neither DOCX, ODT nor EPUB, and holds no conversations: unpack it first"),
    };
    return why > READ_END && why < READ_WHYS ? _(words[why]) : NULL;
}
