#pragma once

#include <string>
#include <string_view>

namespace millrace::api {

// Builds a Content-Disposition field (RFC 6266) that makes browsers save a download under the name
// that a client once gave the file. Characters that would make the name a path, or are no text, are
// replaced by '_'.
std::string AttachmentNamed(std::string_view name);

}  // namespace millrace::api
