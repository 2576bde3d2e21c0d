/* rag/scale: the scale of an embedding model, without labels and whatever a memory holds: the mean distance (1 - cosine) of short texts
 * that have nothing to do with one another, beside that of multilingual-e5-small, by which the threshold of meaning was chosen. One
 * model puts them at .78 of one another, another at .06; what belongs together lies above that by so much the more. Of two languages
 * the one counts that the model tells apart better: one that it was not taught lies together in a heap. The caller's thread. */
#include "rag/scale.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LANGUAGES = 2, TEXTS = 12 };
static const char *const texts[LANGUAGES][TEXTS] = {
    {"The ferry to the island leaves twice a day in summer.", "Knead the dough for ten minutes and let it rise under a cloth.", "The old bridge was closed because its pillars had cracked.",
     "Photosynthesis turns light, water and carbon dioxide into sugar.", "Her grandmother taught her to play the violin.", "The committee put off its vote on the budget until Monday.",
     "A worn bearing makes the washing machine howl.", "The treaty moved the border to the middle of the river.", "Save the file before you close the editor.",
     "The patient was given antibiotics for a week.", "Copper conducts heat better than iron does.", "The museum shows paintings of the Dutch school."},
    {"Летом паром на остров ходит два раза в день.", "Тесто вымешивают десять минут и оставляют под полотенцем.", "Старый мост закрыли, потому что опоры дали трещины.",
     "Фотосинтез превращает свет, воду и углекислый газ в сахар.", "Бабушка научила её играть на скрипке.", "Комитет отложил голосование по бюджету до понедельника.",
     "Из-за изношенного подшипника воет стиральная машина.", "По договору граница прошла посередине реки.", "Сохраните файл, прежде чем закрыть редактор.",
     "Больному неделю давали антибиотики.", "Медь проводит тепло лучше железа.", "В музее висят картины голландской школы."},
};
static const double E5[LANGUAGES] = {.2192, .1751};      /* multilingual-e5-small in 4 bits */
static const double ALIKE = .01, LEAST = .05;           /* so near to 1 is 1; below the least the numbers are of no use */

static double apart(const float *v, int dim)
{
    double sum = 0;
    for (int i = 0; i < TEXTS; i++)
        for (int j = 0; j < i; j++) {
            double dot = 0;
            for (int k = 0; k < dim; k++) dot += (double)v[i * dim + k] * (double)v[j * dim + k];
            sum += 1 - dot;
        }
    return sum / (TEXTS * (TEXTS - 1) / 2);
}

static void mean_of(const float *v, int dim, float *mean)
{
    for (int k = 0; k < dim; k++) {
        double sum = 0;
        for (int i = 0; i < TEXTS; i++) sum += (double)v[i * dim + k];
        mean[k] = (float)(sum / TEXTS);
    }
}

int rag_scale_of(const rag_embedder *e, double *scale, float *tongue, char *err)
{
    float *v = q_alloc(sizeof *v * (size_t)e->dim * TEXTS);
    size_t len[TEXTS];
    int rc = Q_OK;
    *scale = 0;
    for (int l = 0; l < LANGUAGES && rc == Q_OK; l++) {
        for (int i = 0; i < TEXTS; i++) len[i] = strlen(texts[l][i]);
        rc = e->embed(e->user, false, texts[l], len, TEXTS, v, err);
        double x = rc == Q_OK ? apart(v, e->dim) / E5[l] : 0;
        if (rc == Q_OK) mean_of(v, e->dim, tongue + l * e->dim);
        if (isfinite(x)) *scale = fmax(*scale, x);
    }
    free(v);
    if (rc == Q_OK) *scale = fabs(*scale - 1) < ALIKE ? 1 : fmax(*scale, LEAST);
    return rc;
}
