#pragma once

#include <string>

namespace millrace::encode {

// Lower-case hex of a file's SHA-256. Throws Error{kStorageError}.
std::string Sha256OfFile(const std::string& path);

}  // namespace millrace::encode
