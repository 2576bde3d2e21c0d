/* engine/run/device: where a model's weights lie and who computes with them. Private to engine. A device is opened for a
 * model whose shape is known, before its weights are added; closed with the model. Engine thread. */
#ifndef QUORUM_DEVICE_H
#define QUORUM_DEVICE_H

#include "engine/run/model.h"

/* By eng_device_choose. Q_NOTFOUND: the GPU that must be taken is not there; under "auto" the CPU steps in. */
int device_open(eng_model *m, device *d, char *err);
bool device_may_fall_back(const device *d);            /* a GPU under "auto" */
/* The CPU instead, with the reason (err, rc of what failed) as the device's note. */
int device_fall_back(eng_model *m, device *d, int rc, char *err);
void device_close(device *d);
double device_weights_gib(void);                       /* eng_place.weights_gib as it was chosen */

#endif
