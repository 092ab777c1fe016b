#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "api/reply/content_disposition.h"
#include "api/reply/replies.h"
#include "api/reply/request_reader.h"
#include "api/routes/dead_letter_files.h"
#include "api/routes/dead_letters.h"
#include "api/routes/routes.h"
#include "core/base/unique_fd.h"
#include "core/model/traits.h"

// Downloads from a dead letter's folder: the log, the input, any file. A purge does not cut off a
// download that has begun: it holds the file open.

namespace millrace::api {
namespace {

constexpr std::string_view kText = "text/plain; charset=utf-8";
constexpr std::string_view kBytes = "application/octet-stream";

[[noreturn]] void NothingHere(const std::string& why) {
  throw Error(ErrorCode::kRouteNotFound, why);
}

// The letter's folder. Throws Error{kRouteNotFound}, saying why, if there is none.
DeadLetterFiles FolderOf(const ApiContext& context, const nlohmann::json& letter) {
  const std::string state = letter.at("state");
  if (HasLeftNothing(letter)) {
    NothingHere("the files of this dead letter are gone: it is " + state);
  }
  DeadLetterFiles folder(context.media.DeadLetterFolder(letter.at("job")));
  if (!folder.IsThere()) {
    NothingHere(state == "open" ? "this dead letter is open, but its folder is not there"
                                : "the files of this dead letter are gone: its job was " + state +
                                      ", and has ended since");
  }
  if (IsOfAnotherGeneration(letter, folder.Report())) {
    NothingHere("the files of this dead letter are gone: its job was redriven, and dies again");
  }
  return folder;
}

std::string_view MediaTypeOf(std::string_view name) {
  if (name.ends_with(".json")) return "application/json";
  if (name.ends_with(".txt") || name.ends_with(".sh")) return kText;
  if (name.ends_with(".mkv")) return MediaTypeOf(Container::kMkv, true);
  return kBytes;
}

void Send(const http::ResponderPtr& responder, UniqueFd file, std::string_view media_type,
          http::Headers headers = {}) {
  headers.Set("Cache-Control", "private, no-cache");
  // Keeps the browser of an operator from running anything that a client has uploaded.
  headers.Set("X-Content-Type-Options", "nosniff");
  std::string etag = EtagOfFile(file);
  responder->SendFile({.file = std::move(file),
                       .media_type = std::string(media_type),
                       .etag = std::move(etag),
                       .headers = std::move(headers)});
}

// Returns the number in "log-N.txt".
std::optional<int64_t> FenceOfLog(std::string_view name) {
  if (!name.starts_with("log-") || !name.ends_with(".txt")) return std::nullopt;
  const std::string_view digits = name.substr(4, name.size() - 8);
  int64_t fence = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), fence);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return fence;
}

void SendLog(ApiContext& context, const http::Request& request,
             const http::ResponderPtr& responder) {
  QueryReader query(request, {"fence"});
  const std::optional<int64_t> asked = query.Integer("fence", 1, INT64_MAX);
  query.ThrowIfWrong();
  WithLetter(context, responder,
             [&context, asked](const http::ResponderPtr& answer, const nlohmann::json& letter) {
               const DeadLetterFiles folder = FolderOf(context, letter);
               std::optional<int64_t> fence = asked;
               for (const auto& file : folder.List()) {
                 if (!asked) fence = std::max(fence, FenceOfLog(file.name));
               }
               if (!fence) NothingHere("no attempt of this job has left a log");
               UniqueFd log = folder.Open("log-" + std::to_string(*fence) + ".txt");
               if (!log) {
                 NothingHere("no attempt with fence " + std::to_string(*fence) + " has left a log");
               }
               Send(answer, std::move(log), kText);
             });
}

// Opens the file of the library that the job was to work on; inputs from there are not kept.
UniqueFd LibraryFile(const ApiContext& context, const nlohmann::json& report) {
  const nlohmann::json input =
      report.is_object() ? report.value("input", nlohmann::json()) : report;
  if (!input.is_object() || !input.contains("path") || !input["path"].is_string()) {
    NothingHere("the input is not kept with this dead letter");
  }
  try {
    return http::OpenForSending(
        context.media.Resolve({.upload = "", .path = input["path"].get<std::string>()}));
  } catch (const Error& error) {
    if (error.traits().http_status >= 500) throw;
    NothingHere(error.what());
  }
}

void SendInput(ApiContext& context, const http::Request& request,
               const http::ResponderPtr& responder) {
  RefuseQuery(request);
  WithLetter(context, responder,
             [&context](const http::ResponderPtr& answer, const nlohmann::json& letter) {
               const DeadLetterFiles folder = FolderOf(context, letter);
               UniqueFd input = folder.Open("input");
               if (!input) input = LibraryFile(context, folder.Report());
               if (!input) NothingHere("the input is not in the library any more");
               const nlohmann::json& name = letter.at("input_name");
               Send(answer, std::move(input), kBytes,
                    {{"Content-Disposition",
                      AttachmentNamed(name.is_string() ? name.get<std::string>() : "input")}});
             });
}

void SendAnyFile(ApiContext& context, const http::Request& request,
                 const http::ResponderPtr& responder) {
  RefuseQuery(request);
  WithLetter(context, responder,
             [&context](const http::ResponderPtr& answer, const nlohmann::json& letter) {
               const std::string& name = answer->request().PathParameter("name");
               UniqueFd file = FolderOf(context, letter).Open(name);
               if (!file) NothingHere("this dead letter has no file '" + name + "'");
               Send(answer, std::move(file), MediaTypeOf(name));
             });
}

}  // namespace

void AddDeadLetterFileRoutes(http::Router& router, ApiContext& context) {
  const auto add = [&](const char* pattern, auto handle) {
    router.Add(
        "GET", pattern,
        [&context, handle](const http::Request& request, const http::ResponderPtr& responder) {
          handle(context, request, responder);
        });
  };
  add("/v1/dead-letters/{job}/log", SendLog);
  add("/v1/dead-letters/{job}/input", SendInput);
  add("/v1/dead-letters/{job}/files/{name}", SendAnyFile);
}

}  // namespace millrace::api
