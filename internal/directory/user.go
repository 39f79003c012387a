package directory

import (
	"net/mail"
	"strings"
)

// Role says what a user may do.
type Role string

// The roles.
const (
	RoleOwner      Role = "owner"      // of the installation: everything, all tenants
	RoleAdmin      Role = "admin"      // everything in the tenant and in the tenants below it
	RoleSupervisor Role = "supervisor" // sees the tenant's calls and records, steers queues
	RoleAgent      Role = "agent"      // works in queues
	RoleUser       Role = "user"       // own lines only
	RoleReader     Role = "reader"     // sees the tenant's configuration, changes nothing
)

// User is a person.
type User struct {
	Meta
	Name     string `json:"name"`
	Email    string `json:"email,omitempty"`
	Role     Role   `json:"role"`
	Language string `json:"language,omitempty"`
	// PasswordHash is the argon2id hash of the password in PHC form, "" for a person who cannot sign in with one. The
	// password itself is kept nowhere.
	PasswordHash Secret `json:"-"`
}

// ObjectKind implements Object.
func (u *User) ObjectKind() Kind { return KindUser }

// Key implements Object.
func (u *User) Key() string { return u.Name }

// SetDefaults implements Object.
func (u *User) SetDefaults() {
	if u.Role == "" {
		u.Role = RoleUser
	}
}

// Validate implements Object.
func (u *User) Validate() error {
	var errs Errors
	errs.label("name", u.Name)
	if u.Email != "" {
		if a, err := mail.ParseAddress(u.Email); err != nil || a.Address != u.Email || len(u.Email) > 254 {
			errs.add("email", CodeInvalid, "is not an e-mail address")
		}
	}
	oneOf(&errs, "role", u.Role, RoleOwner, RoleAdmin, RoleSupervisor, RoleAgent, RoleUser, RoleReader)
	errs.language(u.Language)
	if u.PasswordHash != "" && !strings.HasPrefix(u.PasswordHash.Reveal(), "$argon2id$") {
		errs.add("password", CodeInvalid, "is not an argon2id hash")
	}
	return errs.Err()
}
