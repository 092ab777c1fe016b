#include "tests/system/http.h"

#include <curl/curl.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <stdexcept>

namespace millrace::harness {
namespace {

std::string Trimmed(std::string text) {
  const auto is_space = [](unsigned char c) { return std::isspace(c) != 0; };
  while (!text.empty() && is_space(static_cast<unsigned char>(text.back()))) text.pop_back();
  text.erase(text.begin(), std::ranges::find_if_not(text, is_space));
  return text;
}

}  // namespace

// The state of one exchange, which libcurl's callbacks get by address.
struct Http::Transfer {
  const BodySource* source = nullptr;
  int64_t source_bytes = 0;
  std::ofstream* file = nullptr;
  const std::function<bool(std::string_view piece)>* on_body = nullptr;
  CURL* curl = nullptr;
  HttpAnswer answer;

  static size_t OnHeader(char* data, size_t size, size_t count, void* self) {
    auto& transfer = *static_cast<Transfer*>(self);
    std::string line(data, size * count);
    // Forget the headers of an interim 100.
    if (line.starts_with("HTTP/")) transfer.answer.headers.clear();
    const size_t colon = line.find(':');
    if (colon != std::string::npos) {
      std::string name = line.substr(0, colon);
      std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
      transfer.answer.headers[name] = Trimmed(line.substr(colon + 1));
    }
    return size * count;
  }

  static size_t OnBody(char* data, size_t size, size_t count, void* self) {
    auto& transfer = *static_cast<Transfer*>(self);
    long status = 0;
    curl_easy_getinfo(transfer.curl, CURLINFO_RESPONSE_CODE, &status);
    if (*transfer.on_body && status == 200) {
      transfer.answer.status = 200;
      return (*transfer.on_body)({data, size * count}) ? size * count : 0;
    }
    if (transfer.file != nullptr && status == 200) {
      transfer.file->write(data, static_cast<std::streamsize>(size * count));
      return transfer.file->good() ? size * count : 0;
    }
    transfer.answer.body.append(data, size * count);
    return size * count;
  }

  static size_t OnRead(char* data, size_t size, size_t count, void* self) {
    return (*static_cast<Transfer*>(self)->source)({data, size * count});
  }
};

struct Http::Handle {
  CURL* curl = curl_easy_init();
  ~Handle() { curl_easy_cleanup(curl); }
};

std::string HttpAnswer::Header(const std::string& name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? "" : found->second;
}

Http::Http(std::string base_url)
    : base_url_(std::move(base_url)), handle_(std::make_unique<Handle>()) {
  if (handle_->curl == nullptr) throw std::runtime_error("libcurl cannot start");
}
Http::~Http() = default;
Http::Http(Http&&) noexcept = default;

HttpAnswer Http::Perform(const HttpCall& call, Transfer& transfer) {
  CURL* curl = handle_->curl;
  curl_easy_reset(curl);
  transfer.curl = curl;
  transfer.on_body = &call.on_body;
  const std::string url = base_url_ + call.path;
  curl_slist* headers = nullptr;
  for (const std::string& header : call.headers) {
    headers = curl_slist_append(headers, header.c_str());
  }
  // Send bodies at once, without waiting for a 100.
  headers = curl_slist_append(headers, "Expect:");
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(call.timeout.count()));
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, &Transfer::OnHeader);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &Transfer::OnBody);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
  if (transfer.source != nullptr) {
    curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE,
                     static_cast<curl_off_t>(transfer.source_bytes));
    curl_easy_setopt(curl, CURLOPT_READFUNCTION, &Transfer::OnRead);
    curl_easy_setopt(curl, CURLOPT_READDATA, &transfer);
  } else if (call.method == "HEAD") {
    curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
  } else if (call.method != "GET") {
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(call.body.size()));
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, call.body.c_str());
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, call.method.c_str());
  }
  const CURLcode code = curl_easy_perform(curl);
  curl_slist_free_all(headers);
  if (code != CURLE_OK && transfer.answer.status == 200) {
    transfer.answer.broken_off = true;
    return std::move(transfer.answer);
  }
  if (code != CURLE_OK) {
    return {.body = call.method + " " + url + ": " + curl_easy_strerror(code)};
  }
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  transfer.answer.status = static_cast<int>(status);
  return std::move(transfer.answer);
}

HttpAnswer Http::Send(const HttpCall& call) {
  Transfer transfer;
  return Perform(call, transfer);
}

HttpAnswer Http::Put(const std::string& path, int64_t bytes, const BodySource& source,
                     std::chrono::milliseconds timeout) {
  Transfer transfer;
  transfer.source = &source;
  transfer.source_bytes = bytes;
  return Perform({.method = "PUT", .path = path, .timeout = timeout}, transfer);
}

HttpAnswer Http::PutFile(const std::string& path, const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) throw std::runtime_error("cannot read " + file.string());
  const BodySource source = [&in](std::span<char> block) {
    in.read(block.data(), static_cast<std::streamsize>(block.size()));
    return static_cast<size_t>(in.gcount());
  };
  return Put(path, static_cast<int64_t>(std::filesystem::file_size(file)), source);
}

HttpAnswer Http::Download(const std::string& path, const std::filesystem::path& file) {
  std::ofstream out(file, std::ios::binary | std::ios::trunc);
  if (!out) throw std::runtime_error("cannot write " + file.string());
  Transfer transfer;
  transfer.file = &out;
  return Perform({.path = path, .timeout = std::chrono::minutes(2)}, transfer);
}

std::string EscapeSegment(const std::string& text) {
  char* escaped = curl_easy_escape(nullptr, text.c_str(), static_cast<int>(text.size()));
  std::string result = escaped == nullptr ? "" : escaped;
  curl_free(escaped);
  return result;
}

}  // namespace millrace::harness
