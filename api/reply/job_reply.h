#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>

#include "api/http_server/message.h"

namespace millrace::api {

// Turns the broker's view of a job into the one that clients see: adds links and URLs, which only
// this program knows. All of them are relative to the server.

nlohmann::json WithLinks(nlohmann::json job);
std::string JobPath(const std::string& job_id);
bool IsFinished(const nlohmann::json& job);
// Changes whenever the job (without its links) does; with the quotes of the header field.
std::string EtagOf(const nlohmann::json& job);
// Suggests when to ask again: sooner near the end. REQUIRES: the job is not finished.
std::chrono::seconds RetryAfterOf(const nlohmann::json& job);

// The answer that carries the job; `job` is the broker's view of it.
http::Response JobResponse(int status, nlohmann::json job, http::Headers headers = {});

}  // namespace millrace::api
