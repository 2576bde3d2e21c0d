/* exam/parts: what the files of exam/ share. Private to exam/; pure, any thread. */
#ifndef EXAM_PARTS_H
#define EXAM_PARTS_H

#include "exam/exam.h"

/* ---- draw.c: what tasks draw, and words ---- */
int draw(uint64_t random[4], int low, int high);         /* both ends belong to it; the same on every machine */
void draw_order(uint64_t random[4], int *out, int n);    /* a permutation of 0..n-1 */
typedef struct noun { const char *en_one, *en_many, *one, *few, *many, *accusative; } noun;    /* яблоко, яблока, яблок; (нашёл одну) грушу */
extern const noun draw_things[];
extern const int draw_n_things;
typedef struct person { const char *en, *ru, *whose; bool she; } person;                       /* Anna; Анна; (у) Анны */
extern const person draw_people[];
extern const int draw_n_people;
/* "5 яблок", "21 грушу": a number with its noun, as the object of a sentence. */
void put_count(q_buf *, enum exam_lang, int n, const noun *);
const char *draw_form(int n, const char *one, const char *few, const char *many);      /* Russian: 1, 2 to 4, else (11 to 14 too) */
/* The last line of a question, the answer and its sample. */
void ask_number(exam_item *, q_buf *question, long long answer);
void ask_words(exam_item *, q_buf *question, const char *answer, const char *what_en, const char *what_ru);

/* ---- the tasks ---- */
void task_arithmetic(exam_item *, uint64_t random[4]);
void task_story(exam_item *, uint64_t random[4]);
void task_grid(exam_item *, uint64_t random[4]);
void task_letters(exam_item *, uint64_t random[4]);
void task_needle(exam_item *, uint64_t random[4]);
void task_needles(exam_item *, uint64_t random[4]);
void task_state(exam_item *, uint64_t random[4]);
void task_code(exam_item *, uint64_t random[4]);
void task_form(exam_item *, uint64_t random[4]);

/* ---- grade.c ---- */
char *grade_behind(const char *reply);                   /* what stands behind the last answer mark, NULL: there is none; malloc'ed */
enum exam_mark bench_run(const exam_bench *, const exam_item *, const char *program);  /* bench.c */

/* ---- score.c ---- */
bool score_has_one(const exam_item *);                   /* has one right answer */
int score_room(const exam_sheet *, int item);            /* tokens at most that it takes behind a prompt; 0: it is not asked for */
/* exam_reply.log_odds. Q_CANCEL: go said so; Q_RANGE: it does not fit the context. */
int score_answer(const exam_sheet *, const exam_seat *, int item, bool (*go)(void *user, int done, int total), void *user, double *out, char *err);

/* ---- html.c, report.c ---- */
const char *mark_name(enum exam_mark);                   /* for programs */
typedef struct tally { int right, wrong, unread, cut, failed, skipped, n; double tokens, prompt_tokens; } tally;
tally tally_of(const exam_sheet *, const exam_seat *, const char *task /* NULL: all */, int level /* 0: all */);
exam_pair pair_of(const exam_sheet *, const exam_seat *a, const exam_seat *b, const char *task);
exam_shift shift_of(const exam_sheet *, const exam_seat *a, const exam_seat *b);         /* n 0: it was not asked for */
/* What a pair came to. Where nearly none or nearly all are right on both sides, the questions could not tell them apart, whatever they are. */
enum verdict { V_NONE, V_BETTER, V_WORSE, V_ALIKE, V_UNSEEN, V_HARD, V_EASY, V_CUT, V_UNREAD };
typedef struct judged { enum verdict verdict; int level; } judged;       /* V_HARD, V_EASY: the --level to take; 0: there is none */
judged judge_pair(const exam_sheet *, const exam_seat *a, const exam_seat *b);
const char *verdict_name(enum verdict);                  /* for programs */

/* ---- speed_say.c ---- */
/* In `most` letters: a longer one loses its middle, since names of one model's files differ at their ends. Malloc'ed. */
char *speed_short(const char *, int most);
/* How it was measured, a sentence without a newline: rounds, tokens. */
void speed_terms(const exam_speeds *, q_buf *out);

#endif
