#pragma once

#include <nlohmann/json.hpp>

#include "transcoder/encode/input/input_file.h"

namespace millrace::encode {

// Describes what probing found, for people and programs: container, duration, and for each stream
// its kind, codec and properties (size on screen, rotation, frame rate, colours, HDR; channels,
// rate).
nlohmann::json DescribeMedia(const InputFile& input);

// "pq", "hlg" or null.
const char* HdrKindOf(AVColorTransferCharacteristic transfer);

// Bits of the deepest component; 8 if the format is unknown.
int BitDepthOf(int pixel_format);

}  // namespace millrace::encode
