#pragma once

#include <vector>

#include "core/model/task.h"
#include "transcoder/encode/base/ffmpeg_log.h"
#include "transcoder/encode/pipeline.h"

namespace millrace::encode {

// Judges a pipeline that ended without an error by what the input promised. Returns warnings about
// what is missing. Throws Error{kCorruptMedia} (or kEncryptedInput) if a stream that was wanted
// gave nothing, kNoMatchingStreams if the clip lies outside of the input.
std::vector<Warning> Judge(const Pipeline& pipeline, const Plan& plan, const InputFile& input,
                           const FfmpegComplaints& complaints);

}  // namespace millrace::encode
