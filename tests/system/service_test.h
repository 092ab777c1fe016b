#pragma once

#include <gtest/gtest.h>

#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "tests/fakes/fixtures.h"
#include "tests/system/eventually.h"
#include "tests/system/service.h"

namespace millrace::harness {

using nlohmann::json;
using namespace std::chrono_literals;

// A test with its own service, whose logs are printed on failure.
class ServiceTest : public testing::Test {
 protected:
  Service& Begin(ServiceOptions options = {}) {
    service_ = std::make_unique<Service>(std::move(options));
    return *service_;
  }

  void TearDown() override {
    if (service_ && HasFailure()) std::cerr << service_->Logs();
    service_.reset();
  }

 private:
  std::unique_ptr<Service> service_;
};

// Outputs that are quick to make.
inline json QuickVideo() {
  return {
      {"name", "web"},
      {"container", "mp4"},
      {"video",
       {{"codec", "h264"}, {"width", 1280}, {"height", 720}, {"crf", 26}, {"speed", "ultrafast"}}},
      {"audio", {{"codec", "aac"}}}};
}
inline json QuickPoster() {
  return {{"name", "poster"}, {"thumbnails", {{"count", 1}, {"format", "jpeg"}, {"width", 320}}}};
}
inline json QuickOutputs() { return json::array({QuickVideo()}); }

// Outputs that take one core some seconds, with steady progress, for tests that interfere
// meanwhile.
inline json SlowOutputs(const std::string& speed = "veryslow") {
  json output = QuickVideo();
  output["video"]["speed"] = speed;
  output["video"]["crf"] = 18;
  return json::array({output});
}
inline std::filesystem::path SlowInput() { return fixtures::FixturePath("sdr-720p-aac.mp4"); }

}  // namespace millrace::harness
