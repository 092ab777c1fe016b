#pragma once

#include <cstdint>

#include "core/model/job.h"

namespace millrace::broker {

// How many bytes the outputs of a job will probably take, rather too many than too few: what is
// reserved on the disk when the job is accepted. A copied stream is as large as the input; an
// encoded video too, unless its bit rate or the duration says that it is smaller; audio and
// thumbnails are small.
int64_t PredictOutputBytes(const Job& job);

}  // namespace millrace::broker
