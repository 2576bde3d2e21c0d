/* rag/import/date.h: private to rag/. Dates as archives write them. */
#ifndef QUORUM_RAG_IMPORT_DATE_H
#define QUORUM_RAG_IMPORT_DATE_H

#include <stdint.h>

/* Unix time in ms of a date in words or signs: "2024-01-12T15:21:03.5Z", "30.06.2025 at 3:14", "06/30/2025 at 3:14 PM",
 * "January 12, 2024 3:21pm", "2024-1-12 @15h 21m 3s 123ms". Without a zone it is this machine's time; where two readings are
 * possible, a slash with AM or PM is American. 0: it is none. */
int64_t rag_date(const char *s);
/* A number of seconds, milliseconds, microseconds or nanoseconds, told apart by their size; 0: it is no time since 1980. */
int64_t rag_date_of_number(double v);

#endif
