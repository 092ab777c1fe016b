#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

struct evp_md_ctx_st;

namespace millrace {

// Computes a SHA-256 piece by piece. Owned and used by one thread. Throws Error{kInternal} if
// OpenSSL fails.
class Sha256 {
 public:
  Sha256();

  void Add(std::span<const char> bytes);
  // Adds the bytes of an open file from `begin` to `end`, or to the file's end if that comes first.
  // Returns where it ended. Throws Error{kStorageError}.
  int64_t AddFile(int fd, int64_t begin, int64_t end);
  // Returns lower-case hex. Call it once, last.
  std::string Finish();

 private:
  std::unique_ptr<evp_md_ctx_st, void (*)(evp_md_ctx_st*)> context_;
};

// The SHA-256 of a whole file in lower-case hex. Follows no link. Throws Error{kStorageError}.
std::string Sha256OfFile(const std::filesystem::path& path);

}  // namespace millrace
