#include "tests/system/client.h"

#include <openssl/evp.h>
#include <poll.h>

#include <array>
#include <fstream>
#include <memory>
#include <stdexcept>

#include "core/model/job.h"

namespace millrace::harness {
namespace {

using nlohmann::json;

[[noreturn]] void Complain(const std::string& request, const HttpAnswer& answer) {
  throw std::runtime_error(request + " was answered " + std::to_string(answer.status) + ": " +
                           answer.body);
}

std::string HashOf(const std::filesystem::path& file) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        &EVP_MD_CTX_free);
  EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr);
  std::ifstream in(file, std::ios::binary);
  std::array<char, 65536> block;
  while (in.read(block.data(), block.size()) || in.gcount() > 0) {
    EVP_DigestUpdate(context.get(), block.data(), static_cast<size_t>(in.gcount()));
  }
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int length = 0;
  EVP_DigestFinal_ex(context.get(), digest.data(), &length);
  static constexpr char kHex[] = "0123456789abcdef";
  std::string hex;
  for (unsigned int i = 0; i < length; ++i) {
    hex += kHex[digest[i] >> 4];
    hex += kHex[digest[i] & 15];
  }
  return hex;
}

}  // namespace

bool HasEnded(const json& job) {
  const auto state = JobStateFromName(job.at("state").get<std::string>());
  if (!state) throw std::runtime_error("unknown state in " + job.dump());
  return IsTerminal(*state);
}

std::string Client::Upload(const std::filesystem::path& file, std::string name) {
  if (name.empty()) name = file.filename();
  const HttpAnswer answer = http_.PutFile("/v1/uploads/" + EscapeSegment(name), file);
  if (answer.status != 201) Complain("upload of " + name, answer);
  return answer.Json().at("id");
}

json Client::Submit(const json& request) {
  const HttpAnswer answer = http_.Send({.method = "POST",
                                        .path = "/v1/jobs",
                                        .headers = {"Content-Type: application/json"},
                                        .body = request.dump()});
  if (answer.status != 202) Complain("submission of " + request.dump(), answer);
  return answer.Json();
}

std::string Client::Start(const std::filesystem::path& file, const json& outputs) {
  return Submit({{"input", {{"upload", Upload(file)}}}, {"outputs", outputs}}).at("id");
}

json Client::Get(const std::string& path) {
  const HttpAnswer answer = http_.Send({.path = path});
  if (answer.status != 200) Complain("GET " + path, answer);
  return answer.Json();
}

json Client::Job(const std::string& id) { return Get("/v1/jobs/" + id); }

json Client::Attempts(const std::string& id) {
  return Get("/v1/jobs/" + id + "/attempts").at("attempts");
}

json Client::Cancel(const std::string& id) {
  const HttpAnswer answer = http_.Send({.method = "POST", .path = "/v1/jobs/" + id + "/cancel"});
  if (answer.status != 202) Complain("cancelling " + id, answer);
  return answer.Json();
}

json Client::Follow(const std::string& id, const std::function<bool(const json& job)>& enough,
                    std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  std::string etag;
  HttpAnswer answer;
  json job;
  while (std::chrono::steady_clock::now() < deadline) {
    HttpCall call = {.path = "/v1/jobs/" + id, .timeout = std::chrono::seconds(15)};
    if (!etag.empty()) call.headers = {"Prefer: wait=5", "If-None-Match: " + etag};
    answer = http_.Send(call);
    if (answer.status == 200) {
      job = answer.Json();
      etag = answer.Header("etag");
      if (enough(job) || HasEnded(job)) return job;
    } else if (answer.status == 0 || answer.status == 503) {
      poll(nullptr, 0, 20);  // a part of the service is down, and nothing announces its return
    } else if (answer.status != 304) {
      Complain("GET of job " + id, answer);
    }
  }
  throw std::runtime_error("waited too long for " + id + "; last told: " + job.dump() +
                           "; last answer: " + std::to_string(answer.status) + " " + answer.body);
}

json Client::WaitForEnd(const std::string& id, std::chrono::milliseconds limit) {
  return Follow(
      id, [](const json&) { return false; }, limit);
}

json Client::WaitUntilEncoding(const std::string& id, int percent) {
  json job = Follow(id, [percent](const json& seen) {
    return seen.at("state") == "running" && seen.at("progress").at("percent") > percent;
  });
  if (HasEnded(job)) throw std::runtime_error("ended too soon: " + job.dump());
  return job;
}

std::filesystem::path Client::Fetch(const json& file, const std::filesystem::path& folder) {
  const std::string path = file.at("path");
  std::filesystem::path place = folder / std::filesystem::path(path).filename();
  const HttpAnswer answer = http_.Download(file.at("url"), place);
  if (answer.status != 200) Complain("download of " + file.dump(), answer);
  if (file.at("bytes") != std::filesystem::file_size(place) || file.at("sha256") != HashOf(place)) {
    throw std::runtime_error("these are not the bytes that were promised: " + file.dump());
  }
  return place;
}

json FilesOf(const json& job, const std::string& output) {
  for (const json& candidate : job.at("outputs")) {
    if (candidate.at("name") == output) return candidate.at("files");
  }
  throw std::runtime_error("no output " + output + " in " + job.dump());
}

}  // namespace millrace::harness
