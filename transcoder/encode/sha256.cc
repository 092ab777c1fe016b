#include "transcoder/encode/sha256.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>
#include <vector>

#include "transcoder/encode/file_io.h"

namespace millrace::encode {
namespace {

// Stays in a core's own cache between being read and being hashed.
constexpr size_t kBufferBytes = 256 << 10;

}  // namespace

std::string Sha256OfFile(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) ThrowStorageError("open " + path, errno);
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> hash(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  std::vector<unsigned char> buffer(kBufferBytes);
  bool ok = hash != nullptr && EVP_DigestInit_ex(hash.get(), EVP_sha256(), nullptr) == 1;
  ssize_t got = 0;
  while (ok && (got = read(fd.get(), buffer.data(), buffer.size())) > 0) {
    ok = EVP_DigestUpdate(hash.get(), buffer.data(), static_cast<size_t>(got)) == 1;
  }
  if (got < 0) ThrowStorageError("read " + path, errno);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  ok = ok && EVP_DigestFinal_ex(hash.get(), digest.data(), &size) == 1;
  if (!ok) throw Error(ErrorCode::kInternal, "SHA-256 failed");
  std::string hex;
  for (unsigned i = 0; i < size; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

}  // namespace millrace::encode
