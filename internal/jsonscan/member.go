/*
Copyright The WasmAdmission Authors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
*/

package jsonscan

import "encoding/json"

// Find returns the member that a path of names leads to, the outermost name first. It does not find
// a member if an object has its name, or one on the way to it, twice: decoders disagree on what
// that means. It finds nothing in what is not valid JSON. Names may be escaped in the text.
func Find(data []byte, path ...string) (m Member, found bool) {
	m, times := follow(data, path)
	return m, times == 1
}

// Twice reports whether an object has a name on a path twice.
func Twice(data []byte, path ...string) bool {
	_, times := follow(data, path)
	return times > 1
}

func follow(data []byte, path []string) (m Member, times int) {
	if len(path) == 0 {
		return Member{}, 0
	}
	s := Scanner{Data: data, MaxDepth: MaxDepth}
	m, times, _ = s.follow(s.Space(0), 0, path)
	return m, times
}

// follow goes down a path as long as each name is there once, and past the object. It returns the
// member of the last name that it looked for, and how many times that name is there.
func (s *Scanner) follow(object, depth int, path []string) (m Member, times, end int) {
	here := 0 // how many times the first name is there
	end = s.Object(object, depth, func(c Member) int {
		if !c.is(path[0]) {
			return s.Value(c.Value, depth+1)
		}
		if here++; here == 1 && len(path) > 1 && s.Data[c.Value] == '{' {
			m, times, c.End = s.follow(c.Value, depth+1, path[1:])
			return c.End
		}
		c.End = s.Value(c.Value, depth+1)
		if here == 1 && len(path) == 1 {
			m, times = c, 1
		}
		return c.End
	})
	switch {
	case end == Invalid:
		return Member{}, 0, Invalid
	case here != 1:
		return Member{}, here, end
	}
	return m, times, end
}

// is reports whether the member has a name.
func (m *Member) is(name string) bool {
	if !m.Escaped {
		return string(m.Name) == name
	}
	quoted := make([]byte, 0, len(m.Name)+2)
	quoted = append(append(append(quoted, '"'), m.Name...), '"')
	var text string
	return json.Unmarshal(quoted, &text) == nil && text == name
}

// AppendWithout appends data to dst without a member, and without one of the commas around it.
func AppendWithout(dst, data []byte, m Member) []byte {
	s := Scanner{Data: data}
	start, end := m.Start, m.End
	if after, ok := s.next(end, ','); ok {
		end = after
	} else {
		before := start
		for before > 0 && isSpace(data[before-1]) {
			before--
		}
		if before > 0 && data[before-1] == ',' {
			start = before - 1
		}
	}
	dst = append(dst, data[:start]...)
	return append(dst, data[end:]...)
}

// Insert returns a copy of data with one more member in the object that is the value of a member;
// the new member comes first. The name must need no escapes. It returns false if that value is not
// an object.
func Insert(data []byte, into Member, name string, value []byte) (with []byte, ok bool) {
	if into.Value >= len(data) || data[into.Value] != '{' {
		return nil, false
	}
	s := Scanner{Data: data}
	at := into.Value + 1
	with = make([]byte, 0, len(data)+len(name)+len(value)+len(`"":,`))
	with = append(with, data[:at]...)
	with = append(with, '"')
	with = append(with, name...)
	with = append(with, '"', ':')
	with = append(with, value...)
	if next := s.Space(at); next < len(data) && data[next] != '}' {
		with = append(with, ',')
	}
	return append(with, data[at:]...), true
}
