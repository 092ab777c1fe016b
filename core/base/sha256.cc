#include "core/base/sha256.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/unique_fd.h"

namespace millrace {
namespace {

// Stays in a core's own cache between being read and being hashed.
constexpr int64_t kBufferBytes = 256 << 10;

void CheckHash(int rc) {
  if (rc != 1) throw Error(ErrorCode::kInternal, "SHA-256 failed");
}

}  // namespace

Sha256::Sha256() : context_(EVP_MD_CTX_new(), &EVP_MD_CTX_free) {
  if (!context_) throw Error(ErrorCode::kOutOfMemory, "out of memory");
  CheckHash(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr));
}

void Sha256::Add(std::span<const char> bytes) {
  CheckHash(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()));
}

int64_t Sha256::AddFile(int fd, int64_t begin, int64_t end) {
  std::vector<char> buffer(kBufferBytes);
  while (begin < end) {
    const auto wanted = static_cast<size_t>(std::min(end - begin, kBufferBytes));
    const ssize_t got = pread(fd, buffer.data(), wanted, begin);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) ThrowStorageError(errno, "read", "a file to hash");
    if (got == 0) break;
    Add(std::span(buffer).first(static_cast<size_t>(got)));
    begin += got;
  }
  return begin;
}

std::string Sha256::Finish() {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int length = 0;
  CheckHash(EVP_DigestFinal_ex(context_.get(), digest.data(), &length));
  std::string text;
  for (unsigned int i = 0; i < length; ++i) {
    text += {kHex[digest.at(i) >> 4], kHex[digest.at(i) & 15]};
  }
  return text;
}

std::string Sha256OfFile(const std::filesystem::path& path) {
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file) ThrowStorageError(errno, "open", path);
  Sha256 hash;
  hash.AddFile(file.get(), 0, std::numeric_limits<int64_t>::max());
  return hash.Finish();
}

}  // namespace millrace
