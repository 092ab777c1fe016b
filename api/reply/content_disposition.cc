#include "api/reply/content_disposition.h"

#include <algorithm>

#include "api/reply/replies.h"

namespace millrace::api {
namespace {

bool IsControl(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

// Removes whatever would make the saved file a path or a hidden file.
std::string Harmless(std::string_view name) {
  std::string harmless(name);
  std::ranges::replace_if(
      harmless, [](char c) { return c == '/' || c == '\\' || IsControl(c); }, '_');
  if (harmless.empty()) return "input";
  if (harmless.front() == '.') harmless.front() = '_';
  return harmless;
}

}  // namespace

std::string AttachmentNamed(std::string_view name) {
  const std::string harmless = Harmless(name);
  std::string ascii = harmless;
  std::ranges::replace_if(
      ascii, [](char c) { return c == '"' || c == '%' || static_cast<unsigned char>(c) >= 0x80; },
      '_');
  std::string field = "attachment; filename=\"" + ascii + "\"";
  if (ascii != harmless) field += "; filename*=UTF-8''" + PercentEncodedPath(harmless);
  return field;
}

}  // namespace millrace::api
