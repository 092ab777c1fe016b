#include "broker/ledger/failure_signature.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>

#include "core/base/id.h"

namespace millrace::broker {
namespace {

constexpr size_t kMaxStableBytes = 160;
constexpr size_t kIdDigits = 16;
// More digits than this at the end of a name ("frame1234") count something; fewer belong to it
// ("h264", "yuv420p", "mp4").
constexpr size_t kMostDigitsOfName = 3;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsHex(char c) { return IsDigit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool IsBlank(char c) { return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f; }
bool IsQuote(char c) { return c == '\'' || c == '"' || c == '`'; }
bool IsAlnum(char c) { return IsDigit(c) || IsLetter(c); }
// Returns true for the characters of words; ids, paths and file names consist of them too.
bool IsWord(char c) {
  return IsAlnum(c) || c == '_' || c == '-' || c == '.' || c == '/' || c == '~' || c == '%' ||
         static_cast<unsigned char>(c) >= 0x80;
}

bool All(std::string_view text, bool (*is)(char)) { return std::ranges::all_of(text, is); }
bool Any(std::string_view text, bool (*is)(char)) { return std::ranges::any_of(text, is); }

// Returns true for "movie.mp4", but not for "5.1" or "h.264".
bool IsFileName(std::string_view word) {
  const size_t dot = word.rfind('.');
  if (dot == std::string_view::npos || dot == 0) return false;
  const std::string_view extension = word.substr(dot + 1);
  return extension.size() >= 2 && extension.size() <= 5 && All(extension, IsAlnum) &&
         Any(extension, IsLetter) && Any(word.substr(0, dot), IsAlnum);
}

// Returns true for "/tmp/x", "../x", "a/b.mp4" and "work/12", but not for "Input/output" or
// "bits/s".
bool IsPath(std::string_view word) {
  if (word.find('/') == std::string_view::npos) return false;
  return word.starts_with('/') || word.starts_with("./") || word.starts_with("../") ||
         word.starts_with("~/") || Any(word, IsDigit) || word.find('.') != std::string_view::npos;
}

// Returns true for one of Millrace's ids ("job_019a…"), a UUID or a hash.
bool IsIdLike(std::string_view word) {
  if (const size_t bar = word.find('_'); bar != std::string_view::npos) {
    if (IsId(word, word.substr(0, bar + 1))) return true;
  }
  const auto is_part = [](char c) { return IsHex(c) || c == '-'; };
  return word.size() >= 8 && All(word, +is_part) && Any(word, IsDigit) && Any(word, IsHex);
}

bool IsHexNumber(std::string_view word) {
  return word.size() > 2 && word[0] == '0' && (word[1] == 'x' || word[1] == 'X') &&
         All(word.substr(2), IsHex);
}

// Replaces the numbers in a word that is otherwise kept: "12ms" becomes "#ms", "1920x1080" "#x#".
std::string WithoutNumbers(std::string_view word) {
  const bool counted = !word.empty() && IsDigit(word[0]);
  std::string kept;
  for (size_t i = 0; i < word.size();) {
    if (!IsDigit(word[i])) {
      kept += word[i++];
      continue;
    }
    size_t end = i;
    while (end < word.size() && (IsDigit(word[end]) || (word[end] == '.' && end + 1 < word.size() &&
                                                        IsDigit(word[end + 1])))) {
      ++end;
    }
    const bool of_name = !counted && i > 0 && IsLetter(word[i - 1]) && end - i <= kMostDigitsOfName;
    kept += of_name ? std::string(word.substr(i, end - i)) : "#";
    i = end;
  }
  return kept;
}

std::string StableWord(std::string_view word) {
  // Punctuation at the end of a sentence is not part of a path or a name.
  size_t length = word.size();
  while (length > 1 && (word[length - 1] == '.' || word[length - 1] == '-')) --length;
  const std::string_view tail = word.substr(length);
  word = word.substr(0, length);
  // A sign belongs to its number.
  if (word.size() > 1 && word[0] == '-' && IsDigit(word[1])) word.remove_prefix(1);
  const bool is_other = IsHexNumber(word) || IsIdLike(word) || IsPath(word) || IsFileName(word);
  return (is_other ? "#" : WithoutNumbers(word)) + std::string(tail);
}

// Returns the position behind the closing quote of the text quoted at `start`, or `start` itself if
// the character there is an apostrophe.
size_t EndOfQuoted(std::string_view text, size_t start) {
  if (start > 0 && IsAlnum(text[start - 1])) return start;
  for (size_t i = start + 1; i < text.size(); ++i) {
    if (text[i] != text[start]) continue;
    if (i + 1 == text.size() || !IsAlnum(text[i + 1])) return i + 1;
  }
  return start;
}

// Returns the length of the UTF-8 character at the start of `text`; 0 if the bytes are not valid
// UTF-8.
size_t CharacterLength(std::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xf0 && first < 0xf5   ? 4
                        : first >= 0xe0 && first < 0xf0 ? 3
                        : first >= 0xc2 && first < 0xe0 ? 2
                                                        : 0;
  if (length == 0 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80) return 0;
  }
  const auto second = static_cast<unsigned char>(text[1]);
  const bool too_long = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  const bool no_character = (first == 0xed && second >= 0xa0) || (first == 0xf4 && second >= 0x90);
  return too_long || no_character ? 0 : length;
}

// Returns `text` as valid UTF-8 of at most `most` bytes; each invalid byte becomes '?'.
std::string Cut(std::string_view text, size_t most) {
  std::string kept;
  while (!text.empty()) {
    const size_t length = CharacterLength(text);
    const std::string_view next = length == 0 ? "?" : text.substr(0, length);
    if (kept.size() + next.size() > most) break;
    kept += next;
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  while (!kept.empty() && kept.back() == ' ') kept.pop_back();
  return kept;
}

std::string HashOf(std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int length = 0;
  EVP_Digest(text.data(), text.size(), digest.data(), &length, EVP_sha256(), nullptr);
  static constexpr std::string_view kHex = "0123456789abcdef";
  std::string hex;
  for (size_t i = 0; i < kIdDigits / 2; ++i) {
    hex += kHex[digest[i] >> 4];
    hex += kHex[digest[i] & 0x0f];
  }
  return hex;
}

// Returns a string from the error's context; empty if the key is missing.
std::string ContextText(const Error& error, const char* key) {
  const auto found = error.context().find(key);
  return found != error.context().end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace

std::string StablePart(std::string_view message) {
  std::string stable;
  for (size_t i = 0; i < message.size();) {
    if (IsBlank(message[i])) {
      if (!stable.empty() && stable.back() != ' ') stable += ' ';
      ++i;
    } else if (const size_t end = IsQuote(message[i]) ? EndOfQuoted(message, i) : i; end > i) {
      stable += '#';
      i = end;
    } else if (IsWord(message[i])) {
      size_t word_end = i;
      while (word_end < message.size() && IsWord(message[word_end])) ++word_end;
      // Times and addresses: 00:01:02.5, https://host/x.
      const bool is_url = message.substr(word_end).starts_with("://");
      if (is_url) {
        while (word_end < message.size() && !IsBlank(message[word_end])) ++word_end;
      }
      stable += is_url ? "#" : StableWord(message.substr(i, word_end - i));
      i = word_end;
    } else {
      // A number with colons in it, such as a time, becomes a single '#'.
      const bool in_time = message[i] == ':' && stable.ends_with('#') && i + 1 < message.size() &&
                           IsDigit(message[i + 1]);
      if (in_time) {
        stable.pop_back();
      } else {
        stable += message[i];
      }
      ++i;
    }
  }
  return Cut(stable, kMaxStableBytes);
}

FailureSignature SignatureOf(const Error& error) {
  if (error.code() == ErrorCode::kPoison) {
    const auto crash = error.context().find("last_error");
    if (crash != error.context().end() && crash->is_object()) {
      const Error behind = ErrorFromJson(*crash);
      if (behind.code() != ErrorCode::kPoison) return SignatureOf(behind);
    }
  }
  FailureSignature signature;
  // Stage and codec come from a worker's message, so they may be of any length.
  signature.stage = Cut(ContextText(error, "stage"), kMaxStableBytes);
  signature.codec = Cut(ContextText(error, "codec"), kMaxStableBytes);
  // Prefer FFmpeg's message: Millrace's own is the same for every failure of a kind.
  const std::string ffmpeg = ContextText(error, "ffmpeg");
  signature.text = error.traits().name;
  if (!signature.stage.empty()) signature.text += " in " + signature.stage;
  if (!signature.codec.empty()) signature.text += " of " + signature.codec;
  const std::string stable = StablePart(ffmpeg.empty() ? error.what() : ffmpeg);
  if (!stable.empty()) signature.text += ": " + stable;
  signature.id = HashOf(signature.text);
  return signature;
}

}  // namespace millrace::broker
