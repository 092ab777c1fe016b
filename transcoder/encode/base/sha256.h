#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

struct evp_md_ctx_st;

namespace millrace::encode {

// SHA-256 of bytes that come one after the other. Throws Error{kInternal} if OpenSSL fails.
class Sha256 {
 public:
  Sha256();
  void Update(std::span<const uint8_t> bytes);
  // Lower-case hex; ends the use of this object.
  std::string Finish();

 private:
  std::unique_ptr<evp_md_ctx_st, void (*)(evp_md_ctx_st*)> context_;
};

// Adds the bytes of an open file from `begin` to `end`, or to the file's end if that comes first.
// Returns where it ended. Throws Error{kStorageError}.
int64_t UpdateFromFile(Sha256& hash, int fd, int64_t begin, int64_t end);

// Lower-case hex of a file's SHA-256. Throws Error{kStorageError}.
std::string Sha256OfFile(const std::string& path);

}  // namespace millrace::encode
