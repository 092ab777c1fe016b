#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/model/job.h"
#include "tests/fakes/fake_clock.h"
#include "tests/transcoder/worker/samples.h"
#include "transcoder/worker/session.h"

namespace millrace::worker {

using namespace std::chrono_literals;

inline const Lease kLease{"tsk_a", 7};
inline const Lease kOther{"tsk_b", 8};

class FakeTransport final : public BrokerTransport {
 public:
  void Send(const Message& message) override { sent.push_back(message); }
  void Reconnect() override { ++reconnects; }

  // The messages of a type since the last call for that type.
  std::vector<Message> Take(std::string_view type) {
    std::vector<Message> taken;
    std::erase_if(sent, [&](const Message& message) {
      if (message.type != type) return false;
      taken.push_back(message);
      return true;
    });
    return taken;
  }

  std::vector<Message> sent;
  int reconnects = 0;
};

class FakeHost final : public TaskHost {
 public:
  void Start(const Assignment& assignment) override { started.push_back(assignment.lease); }
  void StartProbe(const ProbeOrder& order) override { probes.push_back(order.probe); }
  void Stop(const Lease& lease) override { stopped.push_back(lease); }
  void Discard(const Lease& lease) override { discarded.push_back(lease); }
  void SkipExcerpts() override { skips_excerpts = true; }

  std::vector<Lease> started;
  std::vector<std::string> probes;
  std::vector<Lease> stopped;
  std::vector<Lease> discarded;
  bool skips_excerpts = false;
};

inline std::vector<Lease> LeasesIn(const nlohmann::json& list) {
  std::vector<Lease> leases;
  for (const auto& each : list) leases.push_back(LeaseFromJson(each));
  return leases;
}

inline Progress At(int percent, const std::string& phase = "transcoding") {
  Progress progress;
  progress.percent = percent;
  progress.phase = phase;
  return progress;
}

// A session that talks to this test as its broker: a lease of 30 s, a beat each 5 s.
class SessionTest : public testing::Test {
 protected:
  static WorkerFacts Facts() {
    return {.name = "host/1",
            .instance = "wrk_1",
            .slots = 2,
            .probe_slots = 1,
            .encoders = {"h264"},
            .cores = 4,
            .memory_bytes = 1 << 30,
            .labels = {{"zone", "a"}},
            .versions = {{"ffmpeg", "5.1"}}};
  }

  void Receive(std::string_view type, nlohmann::json body, const std::string& id = "msg_x") {
    session_.OnMessage({.type = std::string(type), .id = id, .body = std::move(body)});
    session_.Tick();
  }
  void Pass(std::chrono::milliseconds time) {
    clock_.Advance(time);
    session_.Tick();
  }
  // Lets time pass in the steps that the session asks for, answering its beats.
  void PassAnswering(std::chrono::milliseconds time) {
    const MonotonicTime end = clock_.Now() + time;
    while (clock_.Now() < end) {
      const auto next = std::clamp(session_.NextDeadline(), clock_.Now() + 1ms, end);
      Pass(std::chrono::ceil<std::chrono::milliseconds>(next - clock_.Now()));
      for (const Message& beat : transport_.Take(message::kBeat)) AnswerBeat(beat);
    }
  }

  void Register() {
    session_.OnConnected();
    const auto asked = transport_.Take(message::kRegister);
    ASSERT_THAT(asked, testing::SizeIs(1));
    AnswerRegister(asked[0]);
  }
  void AnswerRegister(const Message& asked, const std::vector<Lease>& lost = {}) {
    nlohmann::json list = nlohmann::json::array();
    for (const Lease& lease : lost) list.push_back(ToJson(lease));
    Receive(message::kRegistered, {{"lease_seconds", 30}, {"beat_seconds", 5}, {"lost", list}},
            asked.id);
  }
  void AnswerBeat(const Message& beat, const std::vector<Lease>& cancel = {},
                  const std::vector<Lease>& lost = {}) {
    nlohmann::json body = {{"cancel", nlohmann::json::array()}, {"lost", nlohmann::json::array()}};
    for (const Lease& lease : cancel) body["cancel"].push_back(ToJson(lease));
    for (const Lease& lease : lost) body["lost"].push_back(ToJson(lease));
    Receive(message::kOrders, body, beat.id);
  }
  // Returns the next beat; earlier ones are dropped as lost.
  Message NextBeat() {
    transport_.Take(message::kBeat);
    Pass(5s);
    const auto beats = transport_.Take(message::kBeat);
    EXPECT_THAT(beats, testing::SizeIs(1));
    return beats.empty() ? Message{} : beats.back();
  }

  void Assign(const Lease& lease) {
    Receive(message::kAssign, AssignBody(lease, "upl_a", "film.mov"));
  }
  void Finish(const Lease& lease) {
    session_.OnFinished(lease, Manifest{}, ResourceUsage{});
    session_.Tick();
  }
  void Stopped(const Lease& lease) {
    session_.OnStopped(lease);
    session_.Tick();
  }
  void Fail(const Lease& lease) {
    session_.OnFailed(lease, {.error = Error(ErrorCode::kEncoderCrashed, "boom"),
                              .usage = {},
                              .log_tail = {"last words"}});
    session_.Tick();
  }
  void Probe(const std::string& id) {
    Receive(message::kProbe, {{"probe", id},
                              {"input", ToJson(Input{.upload = "upl_a", .path = {}})},
                              {"input_name", "film.mov"},
                              {"deadline_ms", 2000}});
  }

  FakeClock clock_;
  FakeTransport transport_;
  FakeHost host_;
  Session session_{Facts(), 30s, clock_, transport_, host_};
};

}  // namespace millrace::worker
