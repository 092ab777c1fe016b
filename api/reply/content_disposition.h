#pragma once

#include <string>
#include <string_view>

namespace millrace::api {

// The value of a Content-Disposition field (RFC 6266) that has a download saved under the name that
// a client once gave the file. The name may be anything: what is a path, or no text, in it is
// replaced by '_'.
std::string AttachmentNamed(std::string_view name);

}  // namespace millrace::api
