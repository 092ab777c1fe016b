#include "core/base/sha256.h"

#include <openssl/evp.h>

#include <array>

namespace millrace {

struct Sha256::Context {
  EVP_MD_CTX* digest = EVP_MD_CTX_new();

  Context() = default;
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  ~Context() { EVP_MD_CTX_free(digest); }
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {
  EVP_DigestInit_ex(context_->digest, EVP_sha256(), nullptr);
}

Sha256::~Sha256() = default;

void Sha256::Add(std::span<const char> bytes) {
  EVP_DigestUpdate(context_->digest, bytes.data(), bytes.size());
}

std::string Sha256::Finish() {
  constexpr char kHex[] = "0123456789abcdef";
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int length = 0;
  EVP_DigestFinal_ex(context_->digest, digest.data(), &length);
  std::string text;
  for (unsigned int i = 0; i < length; ++i) {
    text += {kHex[digest.at(i) >> 4], kHex[digest.at(i) & 15]};
  }
  return text;
}

}  // namespace millrace
