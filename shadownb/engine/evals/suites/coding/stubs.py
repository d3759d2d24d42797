"""The few functions of libraries that tests of suites call, where a library would have to be installed for them alone."""

from __future__ import annotations

TEST_DEEP = """package Test::Deep;
use strict; use warnings; use Exporter 'import';
our @EXPORT = ('eq_deeply');
# Equal as Test::Deep sees plain data: of one kind, in the same order, scalars as text.
sub eq_deeply {
    my ($got, $wanted) = @_;
    return !defined $got && !defined $wanted unless defined $got && defined $wanted;
    return 0 if ref $got ne ref $wanted;
    if (ref $got eq 'ARRAY') {
        return 0 if @$got != @$wanted;
        for (0 .. $#$got) { return 0 unless eq_deeply($got->[$_], $wanted->[$_]); }
        return 1;
    }
    if (ref $got eq 'HASH') {
        return 0 if keys %$got != keys %$wanted;
        for (keys %$got) { return 0 unless exists $wanted->{$_} && eq_deeply($got->{$_}, $wanted->{$_}); }
        return 1;
    }
    return $got eq $wanted;
}
1;
"""

_ASSERT = """package assert
import ("bytes"; "math"; "reflect"; "testing")
type Assertions struct { t *testing.T }
func New(t *testing.T) *Assertions { return &Assertions{t} }
func same(a, b interface{}) bool {
    x, ok := a.([]byte)
    y, also := b.([]byte)
    if ok && also && x != nil && y != nil { return bytes.Equal(x, y) }
    return reflect.DeepEqual(a, b)
}
func (a *Assertions) fail(ok bool, args ...interface{}) bool {
    if !ok { a.t.Errorf("assertion failed: %v", args) }
    return ok
}
func (a *Assertions) Equal(e, g interface{}, m ...interface{}) bool { return a.fail(same(e, g), e, g) }
func (a *Assertions) NotEqual(e, g interface{}, m ...interface{}) bool { return a.fail(!same(e, g), e, g) }
func (a *Assertions) True(v bool, m ...interface{}) bool { return a.fail(v, "true") }
func (a *Assertions) False(v bool, m ...interface{}) bool { return a.fail(!v, "false") }
func (a *Assertions) Nil(v interface{}, m ...interface{}) bool {
    r := reflect.ValueOf(v)
    return a.fail(v == nil || (r.Kind() == reflect.Ptr && r.IsNil()), v)
}
func (a *Assertions) InDelta(e, g, d interface{}, m ...interface{}) bool {
    return a.fail(math.Abs(number(e)-number(g)) <= number(d), e, g)
}
func number(v interface{}) float64 {
    r := reflect.ValueOf(v)
    if r.CanInt() { return float64(r.Int()) }
    if r.CanUint() { return float64(r.Uint()) }
    return r.Float()
}
func Equal(t *testing.T, e, g interface{}, m ...interface{}) bool { return New(t).Equal(e, g) }
"""

GO_MODULES = {
    "go.mod": "module answer\ngo 1.18\nrequire github.com/stretchr/testify v1.0.0\n"
    "replace github.com/stretchr/testify => ./testify\n",
    "testify/go.mod": "module github.com/stretchr/testify\ngo 1.18\n",
    "testify/assert/assert.go": _ASSERT,
}
"""A module whose tests can import ``github.com/stretchr/testify/assert``."""
