#include "transcoder/encode/base/sha256.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <vector>

#include "transcoder/encode/base/file_io.h"

namespace millrace::encode {
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

void Sha256::Update(std::span<const uint8_t> bytes) {
  CheckHash(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()));
}

std::string Sha256::Finish() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  CheckHash(EVP_DigestFinal_ex(context_.get(), digest.data(), &size));
  std::string hex;
  for (unsigned i = 0; i < size; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

int64_t UpdateFromFile(Sha256& hash, int fd, int64_t begin, int64_t end) {
  std::vector<uint8_t> buffer(kBufferBytes);
  while (begin < end) {
    const auto wanted = static_cast<size_t>(std::min(end - begin, kBufferBytes));
    const ssize_t got = pread(fd, buffer.data(), wanted, begin);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) ThrowStorageError("read an output file", errno);
    if (got == 0) break;
    hash.Update({buffer.data(), static_cast<size_t>(got)});
    begin += got;
  }
  return begin;
}

std::string Sha256OfFile(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) ThrowStorageError("open " + path, errno);
  Sha256 hash;
  UpdateFromFile(hash, fd.get(), 0, std::numeric_limits<int64_t>::max());
  return hash.Finish();
}

}  // namespace millrace::encode
