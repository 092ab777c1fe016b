#pragma once

#include <string>

#include "core/model/task.h"
#include "transcoder/encode/pipeline.h"

namespace millrace::encode {

// Opens each output again, as a player would, and compares it with what was sent to it: tracks,
// frames, seconds, size on screen. Returns the manifest's entries in the order of the spec. Throws
// Error{kTruncatedOutput}, stage "verify".
std::vector<OutputFile> VerifyOutputs(const Pipeline& pipeline, const EncodeSpec& spec,
                                      const std::string& output_dir);

}  // namespace millrace::encode
