#pragma once

#include <nlohmann/json.hpp>

namespace millrace::encode {

// {"encoders": […], "versions": {…}, "build": …}: the codecs (by the names of specs: h264, aac, …)
// whose encoder was really opened and has really encoded a tiny picture or a moment of silence.
// Encoders that are listed are not encoders that work.
nlohmann::json Capabilities();

}  // namespace millrace::encode
