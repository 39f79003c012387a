package form

import "dialtone/internal/directory"

// Site is a place, as it is written.
type Site struct {
	Head
	Name     string   `json:"name"`
	Subnets  []string `json:"subnets,omitempty" nullable:"false" doc:"Networks of the site such as 10.1.0.0/16"`
	AreaCode string   `json:"area_code,omitempty" doc:"Without the leading zero"`
	Country  string   `json:"country,omitempty" doc:"ISO 3166-1 alpha-2"`

	DirectMedia bool `json:"direct_media,omitempty" doc:"Media of calls within the site goes straight between its devices, where they can"`
}

// OfSite writes a site.
func OfSite(s *directory.Site, _ Names) Site {
	return Site{Head: head(s), Name: s.Name, Subnets: texts(s.Subnets), AreaCode: s.AreaCode, Country: s.Country, DirectMedia: s.DirectMedia}
}

// Object reads the form over what is there (nil: nothing) into a new object of the tenant.
func (f *Site) Object(tenant directory.ID, before *directory.Site) (*directory.Site, directory.Errors) {
	var e errs
	s := &directory.Site{Name: f.Name, Subnets: e.prefixes("subnets", f.Subnets), AreaCode: f.AreaCode, Country: f.Country, DirectMedia: f.DirectMedia}
	s.Tenant = tenant
	if before != nil {
		s.Meta = before.Meta
	}
	return s, e.validate(s)
}
