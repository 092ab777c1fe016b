#pragma once

#include <string>

#include "core/model/task.h"
#include "transcoder/encode/input/input_file.h"

namespace millrace::encode {

// Copies what lies around a moment of the input, undecoded, into <output_dir>/excerpt.mkv: from
// about 5 s before it to 5 s after it, never more than 32 MiB, timestamps as they are in the input.
// So whoever looks into a failure need not begin with the whole file. Pictures, sound; what
// Matroska does not take is left out.
//
// Throws Error{kNoMatchingStreams} if the input has nothing there or nothing that Matroska takes,
// Error{kWorkerDiskFull} or Error{kStorageError} if it cannot be written.
OutputFile CutExcerpt(InputFile& input, const ExcerptSpec& wanted, const std::string& output_dir);

}  // namespace millrace::encode
