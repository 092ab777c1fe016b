#pragma once

#include "core/model/encode_spec.h"
#include "core/model/job.h"
#include "transcoder/worker/lease.h"

namespace millrace::worker {

// Returns the smallest valid spec.
inline EncodeSpec SampleSpec() {
  VideoSpec video;
  video.crf = 23;
  OutputSpec output;
  output.name = "movie";
  output.container = Container::kMp4;
  output.video = video;
  return {.outputs = {output}, .clip = {}};
}

// The body of an `assign`.
inline nlohmann::json AssignBody(const Lease& lease, const std::string& upload,
                                 const std::string& input_name) {
  nlohmann::json body = ToJson(lease);
  body["job"] = "job_a";
  body["attempt"] = 1;
  body["input"] = ToJson(Input{.upload = upload, .path = {}});
  body["input_name"] = input_name;
  body["spec"] = ToJson(SampleSpec());
  return body;
}

}  // namespace millrace::worker
