package form

import (
	"dialtone/internal/directory"
	"dialtone/internal/store/seal"
)

// User is a person, as it is written.
type User struct {
	Head
	Name     string `json:"name"`
	Email    string `json:"email,omitempty"`
	Role     string `json:"role,omitempty" enum:"owner,admin,supervisor,agent,user,reader"`
	Language string `json:"language,omitempty" doc:"Language tag such as fa or zh-TW"`
	// Password is to sign in with; kept as it is when left out.
	Password directory.Secret `json:"password,omitempty" writeOnly:"true" doc:"To sign in with; unchanged when left out"`
	// Sealed is the argon2id hash of the password in PHC form, as an export shows it.
	Sealed directory.Secret `json:"sealed,omitempty" writeOnly:"true" doc:"The password as an export shows it"`
}

// OfUser writes a user without the password.
func OfUser(u *directory.User, _ Names) User {
	return User{Head: head(u), Name: u.Name, Email: u.Email, Role: string(u.Role), Language: u.Language}
}

// Object reads the form over what is there (nil: nothing) into a new object of the tenant.
func (f *User) Object(tenant directory.ID, before *directory.User) (*directory.User, directory.Errors) {
	var e errs
	u := &directory.User{Name: f.Name, Email: f.Email, Role: directory.Role(f.Role), Language: f.Language}
	u.Tenant = tenant
	if before != nil {
		u.Meta = before.Meta
		u.PasswordHash = before.PasswordHash
	}
	switch {
	case f.Password != "" && f.Sealed != "":
		e.add("sealed", directory.CodeConflict, "stands beside a password")
	case f.Sealed != "":
		u.PasswordHash = f.Sealed
	case len(f.Password) > maxPassword:
		e.add("password", directory.CodeTooLong, "is longer than 128 bytes")
	case f.Password != "" && !isPassword(u.PasswordHash, f.Password):
		u.PasswordHash = seal.HashPassword(f.Password)
	}
	return u, e.validate(u)
}

// isPassword tells whether password is the one that was hashed. A hash that cannot be read is nobody's.
func isPassword(hash, password directory.Secret) bool {
	if hash == "" {
		return false
	}
	same, err := seal.VerifyPassword(hash, password)
	return err == nil && same
}

// maxPassword bounds the work that a password can cause.
const maxPassword = 128

// Weak is why the password of the form is too easy to guess, by field.
func (f *User) Weak() directory.Errors {
	var e errs
	if reason := f.Password.Weak(f.Name); f.Password != "" && reason != "" {
		e.add("password", CodeWeak, reason)
	}
	return e.list
}

// CodeWeak is the code of a secret that is too easy to guess.
const CodeWeak = "weak"
