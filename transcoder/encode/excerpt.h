#pragma once

#include <string>

#include "core/model/task.h"
#include "transcoder/encode/input/input_file.h"

namespace millrace::encode {

// Copies the media around a moment of the input, undecoded, into <output_dir>/excerpt.mkv: from
// about 5 s before it to 5 s after it, at most 32 MiB, with the input's timestamps. Lets a person
// look into a failure without the whole file. Takes pictures and sound, and leaves out what
// Matroska cannot hold.
//
// Throws Error{kNoMatchingStreams} if the input has nothing there or nothing that Matroska takes,
// Error{kWorkerDiskFull} or Error{kStorageError} if it cannot be written.
OutputFile CutExcerpt(InputFile& input, const ExcerptSpec& wanted, const std::string& output_dir);

}  // namespace millrace::encode
