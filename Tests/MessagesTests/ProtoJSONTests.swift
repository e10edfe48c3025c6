import Messages
import NIOCore
import Testing

/// Decodes and encodes again: what the text means, in canonical form.
private func canonical(_ text: String, _ options: ProtoJSON.Options = .init()) throws -> String {
  try ProtoJSON.encode(try ProtoJSON.decode(EveryField.self, from: text, options: options))
}

@Suite struct ProtoJSONTests {
  @Test(arguments: [
    (#"{"int32Value":1}"#, #"{"int32Value":1}"#),
    (#"{"int32_value":1}"#, #"{"int32Value":1}"#),
    (#"{"otherName":"x"}"#, #"{"otherName":"x"}"#),
    (#"{"renamed":"x"}"#, #"{"otherName":"x"}"#),
    (#"{"int64Value":-9223372036854775808}"#, #"{"int64Value":"-9223372036854775808"}"#),
    (#"{"uint64Value":"18446744073709551615"}"#, #"{"uint64Value":"18446744073709551615"}"#),
    (#"{"int64Value":9007199254740993}"#, #"{"int64Value":"9007199254740993"}"#),
    (#"{"int32Value":"12","uint32Value":1e3,"sint32Value":-1.50e1}"#,
      #"{"int32Value":12,"uint32Value":1000,"sint32Value":-15}"#),
    (#"{"doubleValue":"NaN","floatValue":"-Infinity"}"#, #"{"doubleValue":"NaN","floatValue":"-Infinity"}"#),
    (#"{"doubleValue":"1.5","floatValue":0.1}"#, #"{"doubleValue":1.5,"floatValue":0.1}"#),
    (#"{"bytesValue":"-_8"}"#, #"{"bytesValue":"+/8="}"#),
    (#"{"bytesValue":"AQI="}"#, #"{"bytesValue":"AQI="}"#),
    (#"{"color":"COLOR_RED","colors":[2,-1,50]}"#,
      #"{"color":"COLOR_RED","colors":["COLOR_GREEN","COLOR_BELOW_ZERO",50]}"#),
    (#"{"int32Value":null,"leaf":null,"strings":null,"stringMap":null,"choiceText":null,"timestamp":null}"#, "{}"),
    (#"{"boolMap":{"true":1,"false":2},"numberMap":{"-5":6}}"#,
      #"{"boolMap":{"false":2.0,"true":1.0},"numberMap":{"-5":6}}"#),
    (#"{"choiceFlag":false}"#, #"{"choiceFlag":false}"#),
    (#"{"choiceText":null,"choiceNumber":"3"}"#, #"{"choiceNumber":"3"}"#),
    (#"{"int32Wrapper":0,"stringWrapper":"","boolWrapper":false,"int64Wrapper":7}"#,
      #"{"int64Wrapper":"7","int32Wrapper":0,"boolWrapper":false,"stringWrapper":""}"#),
    (#"{"empty":{}}"#, #"{"empty":{}}"#),
    (#"{"stringValue":"\u00e9\ud83d\ude00\n\"\\\/"}"#, "{\"stringValue\":\"é😀\\n\\\"\\\\/\"}"),
    (" {\n\"leaf\" : { \"name\" : \"\\u0001\" } }\t", #"{"leaf":{"name":"\u0001"}}"#),
    (#"{"timestamp":"2030-01-31T08:00:00.5+01:00"}"#, #"{"timestamp":"2030-01-31T07:00:00.500Z"}"#),
    (#"{"timestamp":"0001-01-01T00:00:00Z"}"#, #"{"timestamp":"0001-01-01T00:00:00Z"}"#),
    (#"{"timestamp":"9999-12-31T23:59:59.999999999Z"}"#, #"{"timestamp":"9999-12-31T23:59:59.999999999Z"}"#),
    (#"{"timestamp":"2024-02-29T00:00:00.000001Z"}"#, #"{"timestamp":"2024-02-29T00:00:00.000001Z"}"#),
    (#"{"duration":"-0.5s"}"#, #"{"duration":"-0.500s"}"#),
    (#"{"duration":"315576000000s"}"#, #"{"duration":"315576000000s"}"#),
    (#"{"duration":"1.000000001s"}"#, #"{"duration":"1.000000001s"}"#),
    (#"{"any":{"number":2,"@type":"type.googleapis.com/buddy.testing.v1.Leaf"}}"#,
      #"{"any":{"@type":"type.googleapis.com/buddy.testing.v1.Leaf","number":2}}"#),
    (#"{"any":{"@type":"x/google.protobuf.Duration","value":"1s"}}"#,
      #"{"any":{"@type":"x/google.protobuf.Duration","value":"1s"}}"#),
    (#"{"any":{"@type":"x/google.protobuf.Any","value":{"@type":"x/buddy.testing.v1.Leaf"}}}"#,
      #"{"any":{"@type":"x/google.protobuf.Any","value":{"@type":"x/buddy.testing.v1.Leaf"}}}"#),
    (#"{"any":{}}"#, #"{"any":{}}"#),
  ])
  func isReadAndWrittenCanonically(text: String, expected: String) throws {
    #expect(try canonical(text) == expected)
  }

  @Test(arguments: [
    ("", "expected a value"), ("{", "closing"), ("{}x", "nothing more"), ("[]", "expected an object, not a list"),
    ("null", "expected an object"), (#"{"int32Value":01}"#, "a number"), (#"{"int32Value":1.}"#, "a number"),
    (#"{"int32Value":+1}"#, "a value"), (#"{"int32Value":NaN}"#, "a value"), (#"{"a":1,}"#, "a key"),
    (#"{"int32Value":1,"int32Value":2}"#, "twice"), (#"{"int32Value":1,"int32_value":2}"#, "both of its names"),
    (#"{"stringMap":{"a":"1","a":"2"}}"#, "twice"), (#"{"what":1}"#, "what: buddy.testing.v1.EveryField has no such"),
    (#"{"leaf":{"what":1}}"#, "leaf.what"), (#"{"int32Value":2147483648}"#, "int32Value: expected a whole number"),
    (#"{"int32Value":1.5}"#, "whole"), (#"{"int32Value":true}"#, "whole"), (#"{"int32Value":""}"#, "whole"),
    (#"{"int32Value":" 1"}"#, "whole"), (#"{"uint32Value":-1}"#, "from 0 to"),
    (#"{"uint64Value":18446744073709551616}"#, "whole"), (#"{"int64Value":1e30}"#, "whole"),
    (#"{"doubleValue":1e400}"#, "range of double"), (#"{"floatValue":1e39}"#, "range of float"),
    (#"{"doubleValue":"inf"}"#, "number"), (#"{"boolValue":1}"#, "true or false"), (#"{"boolValue":"true"}"#, "true"),
    (#"{"stringValue":5}"#, "stringValue: expected a string, not 5"), (#"{"bytesValue":"A"}"#, "Base64"),
    (#"{"bytesValue":"AQI=="}"#, "Base64"), (#"{"bytesValue":"A*I="}"#, "Base64"),
    (#"{"color":"COLOR_PINK"}"#, "a value of buddy.testing.v1.Color"), (#"{"color":1.5}"#, "whole"),
    (#"{"int32s":5}"#, "a list"), (#"{"int32s":[1,null]}"#, "int32s[1]: null"), (#"{"strings":["a",2]}"#, "strings[1]"),
    (#"{"stringMap":[]}"#, "an object"), (#"{"stringMap":{"x":null}}"#, "null"),
    (#"{"stringMap":{"x":1}}"#, "stringMap.x: expected a string"), (#"{"boolMap":{"yes":1}}"#, "\"true\" or \"false\""),
    (#"{"leafMap":{"x":{}}}"#, "leafMap.x: expected a whole number"),
    (#"{"choiceText":"a","choiceNumber":1}"#, "another member of the same oneof"),
    (#"{"stringValue":"\ud800"}"#, "surrogate"), (#"{"stringValue":"\udc00x"}"#, "surrogate"),
    (#"{"stringValue":"\ud800\u0041"}"#, "surrogate"), (#"{"stringValue":"\x"}"#, "escape"),
    ("{\"stringValue\":\"a\nb\"}", "control character"),
    (#"{"stringValue":"a\u0000b"}"#, "stringValue: A string holds a NUL"),
    (#"{"timestamp":"2023-02-29T00:00:00Z"}"#, "a time"), (#"{"timestamp":"2023-01-01T24:00:00Z"}"#, "a time"),
    (#"{"timestamp":"2023-01-01T00:00:00"}"#, "a time"), (#"{"timestamp":"0001-01-01T00:00:00+00:01"}"#, "a time"),
    (#"{"timestamp":"2023-01-01t00:00:00z"}"#, "a time"),
    (#"{"timestamp":"2023-01-01T00:00:00.1234567890Z"}"#, "a time"),
    (#"{"timestamp":5}"#, "a time"), (#"{"duration":"1"}"#, "a duration"),
    (#"{"duration":"315576000001s"}"#, "a duration"),
    (#"{"duration":"315576000000.1s"}"#, "a duration"), (#"{"duration":"1.s"}"#, "a duration"),
    (#"{"duration":"--1s"}"#, "a duration"), (#"{"any":{"name":"x"}}"#, "@type"),
    (#"{"any":{"@type":"x/what.Not"}}"#, "not known here"),
    (#"{"any":{"@type":"buddy.testing.v1.Leaf"}}"#, "not known"),
    (#"{"any":{"@type":"x/google.protobuf.Duration"}}"#, "\"value\""),
    (#"{"any":{"@type":"x/buddy.testing.v1.Leaf","number":"x"}}"#, "any.number"),
    (#"{"int32Wrapper":"x"}"#, "int32Wrapper: expected a whole number"),
  ])
  func badInputIsRefusedClearly(text: String, message: String) {
    #expect { _ = try ProtoJSON.decode(EveryField.self, from: text) } throws: { error in
      guard let error = error as? JSONError else { return false }
      if !"\(error)".contains(message) && !(text == "{" && "\(error)".contains("a key")) {
        Issue.record("\(text): \(error)")
      }
      return true
    }
  }

  @Test func invalidUTF8IsRefused() {
    let text = Array(#"{"stringValue":""#.utf8) + [0xFF] + Array(#""}"#.utf8)
    #expect(throws: JSONError("the text is not valid UTF-8")) { _ = try ProtoJSON.decode(EveryField.self, from: text) }
  }

  @Test func depthIsLimited() throws {
    let nested = { (count: Int) in
      #"{"any":"# + String(repeating: #"{"@type":"x/google.protobuf.Any","value":"#, count: count) + "{}"
        + String(repeating: "}", count: count) + "}"
    }
    #expect(throws: JSONError.self) { _ = try canonical(nested(63)) }
    #expect(throws: JSONError.self) {
      _ = try ProtoJSON.decode(Leaf.self, from: String(repeating: "[", count: 1_000_000))
    }
    // Read within JSON's limit, but over the one of Any inside each other.
    let deep = try ProtoJSON.decode(EveryField.self, from: nested(40))
    #expect(throws: JSONError.self) { _ = try ProtoJSON.encode(deep) }
    _ = try canonical(nested(20))
  }

  @Test func memoryIsLimited() {
    let list = { (name: String) in
      "{\"\(name)\":[" + [String](repeating: "{}", count: 20_000).joined(separator: ",") + "]}"
    }
    // 3 bytes each; 48 in memory are within the factor, the hundreds of a mission are not.
    #expect(throws: Never.self) { _ = try ProtoJSON.decode(EveryField.self, from: list("leaves")) }
    #expect { _ = try ProtoJSON.decode(ListMissionsResponse.self, from: list("missions")) } throws: {
      "\($0)".contains("needs more memory")
    }
  }

  @Test func unknownFieldsAreIgnoredOnRequest() throws {
    let text = #"{"what":{"x":[1]},"leaf":{"y":null,"number":1},"color":"PINK","colors":["COLOR_RED","PINK"]}"#
    let options = ProtoJSON.Options(ignoreUnknownFields: true)
    #expect(try canonical(text, options) == #"{"leaf":{"number":1},"colors":["COLOR_RED"]}"#)
  }

  @Test func defaultsAndProtoNamesOnRequest() throws {
    let leaf = try ProtoJSON.encode(Leaf(), options: .init(emitDefaults: true))
    #expect(leaf == #"{"name":"","number":0}"#)
    let event = ProgressEvent(missionId: "m")
    #expect(try ProtoJSON.encode(event, options: .init(preserveNames: true)) == #"{"mission_id":"m"}"#)
    let all = try ProtoJSON.encode(EveryField(), options: .init(emitDefaults: true))
    #expect(all.contains(#""strings":[]"#) && all.contains(#""stringMap":{}"#) && !all.contains("choice"))
    #expect(try ProtoJSON.decode(EveryField.self, from: all) == EveryField())
  }

  @Test func valuesWithoutAJSONFormAreRefused() {
    for (message, path): (EveryField, String) in [
      (EveryField(timestamp: .init(seconds: 253_402_300_800)), "timestamp"),
      (EveryField(timestamp: .init(nanos: -1)), "timestamp"),
      (EveryField(duration: .init(seconds: 1, nanos: -1)), "duration"),
      (EveryField(duration: .init(seconds: 315_576_000_001)), "duration"),
      (EveryField(any: .init(typeUrl: "x/what.Not", value: [1])), "any"),
      (EveryField(any: .init(typeUrl: "x/buddy.testing.v1.Leaf", value: [0xFF])), "any"),
    ] {
      #expect { _ = try ProtoJSON.encode(message) } throws: { ($0 as? JSONError)?.path == path }
    }
  }

  @Test func missionsReadAsExpected() throws {
    let text =
      #"{"objective":"Chart","inputs":[{"name":"a.csv","artifactId":"1"}],"#
      + #""budget":{"micros":"5","currency":"USD"}}"#
    let request = try ProtoJSON.decode(SubmitMissionRequest.self, from: text)
    #expect(request.inputs == [MissionInput(name: "a.csv", artifactId: "1")])
    #expect(request.budget?.micros == 5)
    #expect(try ProtoJSON.encode(request) == text)
  }
}

