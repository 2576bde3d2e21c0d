/* memory/grammar: words that only hold a sentence together ("what", "is", "и"), English and Russian, folded. Constant data. */
#include "memory/memory.h"

#include <stdlib.h>
#include <string.h>

/* in order of their bytes */
static const char *const words[] = {
    "a", "about", "above", "across", "after", "again", "against", "all", "along", "also", "although", "am", "among",
    "an", "and", "any", "anybody", "anyone", "anything", "are", "aren't", "around", "as", "at", "because", "been",
    "before", "being", "below", "between", "both", "but", "by", "can", "can't", "cannot", "could", "couldn't", "did",
    "didn't", "do", "does", "doesn't", "doing", "don't", "done", "down", "during", "each", "either", "else", "even",
    "ever", "every", "everybody", "everyone", "everything", "few", "for", "from", "further", "get", "gets", "had",
    "hadn't", "has", "hasn't", "have", "haven't", "having", "he", "he's", "hello", "her", "here", "here's", "hers",
    "herself", "hey", "hi", "him", "himself", "his", "how", "how's", "however", "i", "i'd", "i'll", "i'm", "i've",
    "if", "in", "into", "is", "isn't", "it", "it's", "its", "itself", "just", "let", "let's", "many", "may", "me",
    "might", "mine", "more", "most", "much", "must", "my", "myself", "neither", "no", "nobody", "none", "nor", "not",
    "nothing", "now", "of", "off", "often", "ok", "okay", "on", "once", "one", "only", "onto", "or", "other",
    "others", "ought", "our", "ours", "ourselves", "out", "over", "own", "per", "perhaps", "please", "quite",
    "rather", "really", "s", "same", "shall", "she", "she's", "should", "shouldn't", "since", "so", "some",
    "somebody", "someone", "something", "still", "such", "than", "thank", "thanks", "that", "that's", "the", "their",
    "theirs", "them", "themselves", "then", "there", "there's", "these", "they", "they'd", "they'll", "they're",
    "they've", "this", "those", "though", "through", "thus", "to", "together", "too", "toward", "under", "until",
    "up", "upon", "us", "very", "via", "was", "wasn't", "we", "we'd", "we'll", "we're", "we've", "well", "were",
    "weren't", "what", "what's", "whatever", "when", "when's", "where", "where's", "whether", "which", "while", "who",
    "who's", "whom", "whose", "why", "why's", "will", "with", "within", "without", "won't", "would", "wouldn't",
    "yes", "yet", "you", "you'd", "you'll", "you're", "you've", "your", "yours", "yourself", "а", "ага", "б", "без",
    "более", "больше", "будем", "будет", "будешь", "будто", "буду", "будут", "бы", "был", "была", "были", "было",
    "быть", "в", "вам", "вами", "вас", "ваш", "ваша", "вашего", "вашей", "ваши", "вдруг", "ведь", "весь", "во", "вон",
    "вообще", "вот", "впрочем", "все", "всегда", "всего", "всей", "всеми", "всему", "всех", "всю", "вы", "где", "да",
    "давай", "давайте", "даже", "два", "для", "до", "другой", "его", "едва", "ее", "ей", "ему", "если", "есть", "еще",
    "ею", "ж", "же", "за", "зато", "зачем", "здесь", "здравствуй", "здравствуйте", "и", "из", "или", "им", "именно",
    "ими", "иногда", "итак", "их", "к", "как", "какая", "какие", "каким", "каких", "каков", "какого", "какое",
    "какой", "какую", "кем", "когда", "кого", "кому", "конечно", "которая", "которого", "которое", "которой",
    "котором", "которому", "которые", "который", "которыми", "которых", "кто", "куда", "ли", "либо", "лишь", "лучше",
    "между", "меня", "мне", "много", "мной", "мог", "могу", "мое", "моего", "моей", "моему", "может", "можете",
    "можешь", "можно", "мои", "моими", "моих", "мой", "моя", "мы", "на", "над", "надо", "наконец", "нам", "нами",
    "нас", "насколько", "настолько", "наш", "наша", "нашего", "нашей", "наши", "не", "него", "нее", "ней", "нельзя",
    "нему", "нет", "неужели", "нею", "ни", "нибудь", "никогда", "ним", "них", "ничего", "но", "ну", "нужно", "о",
    "об", "оба", "обе", "один", "однако", "одним", "одних", "одного", "одной", "одну", "он", "она", "они", "оно",
    "опять", "от", "откуда", "отсюда", "оттуда", "очень", "перед", "по", "под", "пожалуйста", "пока", "после",
    "потом", "потому", "почему", "почти", "поэтому", "при", "привет", "про", "просто", "пускай", "пусть", "раз",
    "разве", "с", "сам", "сама", "сами", "само", "самого", "самой", "своего", "своей", "своему", "свои", "своих",
    "свой", "свою", "своя", "себе", "себя", "сейчас", "сколько", "со", "совсем", "спасибо", "сюда", "та", "так",
    "такая", "также", "такие", "такого", "такое", "такой", "таком", "такому", "там", "твоего", "твоей", "твоих",
    "твой", "твоя", "те", "тебе", "тебя", "тем", "теми", "теперь", "тех", "то", "тобой", "тогда", "того", "тоже",
    "той", "только", "том", "тот", "тою", "три", "туда", "тут", "ты", "у", "уж", "уже", "хоть", "хотя", "чего", "чей",
    "чем", "чему", "через", "что", "чтоб", "чтобы", "чуть", "чье", "чьи", "чью", "чья", "эта", "эти", "этими", "этих",
    "это", "этого", "этой", "этом", "этот", "эту", "я", "является", "являются",
};

static int by_bytes(const void *key, const void *row) { return strcmp(key, *(const char *const *)row); }

bool mem_grammar(const char *word) { return bsearch(word, words, sizeof words / sizeof *words, sizeof *words, by_bytes) != NULL; }
