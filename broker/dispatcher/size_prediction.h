#pragma once

#include <cstdint>

#include "core/model/job.h"

namespace millrace::broker {

// Predicts the bytes of a job's outputs, rather too many than too few: that much of the disk is
// reserved when the job is accepted. A copied stream is taken to be as large as the input, an
// encoded video too unless its bit rate or the duration says that it is smaller; audio and
// thumbnails are small.
int64_t PredictOutputBytes(const Job& job);

}  // namespace millrace::broker
