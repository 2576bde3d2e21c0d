/* exam/prompt: a question as a text that goes on, behind examples of its task: for models that know no conversation. Pure; any thread. */
#include "exam/parts.h"

#include <stdlib.h>
#include <string.h>

char *exam_prompt(const exam_sheet *s, int item)
{
    const exam_item *i = &s->item[item];
    bool english = i->lang == EXAM_EN;
    q_buf b = { 0 };
    char err[Q_ERRLEN];
    exam_item shot;
    for (int k = 0; k < s->shots; k++) {         /* of the same task, at level 1, of numbers that nobody is asked */
        if (exam_make(i->task, 1, i->lang, s->seed ^ 0x5107, 1000000 + k, &shot, err) == Q_OK)
            q_buf_printf(&b, "%s %s\n%s%s\n\n", english ? "Question:" : "Вопрос:", shot.question, i->kind == EXAM_FORM ? english ? "Answer:\n" : "Ответ:\n" : "", shot.sample);
        exam_item_free(&shot);
    }
    q_buf_printf(&b, "%s %s\n%s", english ? "Question:" : "Вопрос:", i->question, english ? "Answer:" : "Ответ:");
    return q_buf_take(&b);
}
