package sources

import (
	"slices"
	"strings"
	"testing"
)

var languages = []string{"en", "de", "fr", "es", "pt", "it", "nl", "pl", "ja", "ru", "tr"}

// TestVocabulary checks the words themselves: each phrase has the role of its section, in all
// spellings, and each role has phrases in all languages.
func TestVocabulary(t *testing.T) {
	t.Parallel()
	has := map[role]map[string]bool{}
	for _, p := range headerWords.phrases {
		if !slices.Contains(languages, p.language) && p.language != "zh" { // which has no words for parts of a name
			t.Errorf("%q is of the unknown language %q", p.text, p.language)
		}
		if has[p.role] == nil {
			has[p.role] = map[string]bool{}
		}
		has[p.role][p.language] = true
		switch p.role {
		case roleNumber:
			continue
		case roleNone:
			if m, _, ok := meaningOf(p.text); ok {
				t.Errorf("meaningOf(%q) = role %d, want none", p.text, m.role)
			}
			continue
		}
		for _, spelling := range []string{p.text, strings.ToUpper(p.text), strings.ReplaceAll(p.text, " ", "_"), umlauts.Replace(p.text), " " + p.text + " (required)"} {
			if m, exact, ok := meaningOf(spelling); !ok || !exact || m.role != p.role {
				t.Errorf("meaningOf(%q) = role %d, %t, %t, want role %d", spelling, m.role, exact, ok, p.role)
			}
		}
	}
	for _, r := range []role{roleKey, rolePersonKey, roleSite, roleOrganisation, rolePerson, roleFirstName, roleLastName, roleLinkedIn, roleEmail, roleNumber} {
		for _, language := range languages {
			if !has[r][language] {
				t.Errorf("no phrase of role %d in language %q", r, language)
			}
		}
	}
	for _, bad := range []string{"[site 1]\nen domain", "[nothing]", "en: domain"} {
		if _, err := parseVocabulary(bad); err == nil {
			t.Errorf("parseVocabulary(%q) succeeds, want an error", bad)
		}
	}
}

// TestHeaderNames reads header names of common exports.
func TestHeaderNames(t *testing.T) {
	t.Parallel()
	for r, names := range map[role][]string{
		roleSite: {"Organization - Website", "Página web", "Web Page", "companyDomain", "COMPANY_WEBSITE_URL", "Account: Website", "Website 1 - Value", "Firmenwebsite",
			"Homepage der Firma", "Site web de l'entreprise", "Sitio web de la empresa", "Sito aziendale", "Bedrijfswebsite", "Strona internetowa firmy", "会社ホームページ", "企業サイト",
			"会社のURL", "Official Site", "Website__c", "Domain (without www)", "Email Domain", "E-Mail-Domain", "Websites", "WEBSITE", "ＵＲＬ", "Domaene", "Company Domain Name"},
		roleEmail: {"E-mail 1 - Value", "E-Mail-Adresse", "Person - Email - Work", "Email (Primary Contact) (Contact)", "Work Email", "emailAddress", "Adresse e-mail professionnelle",
			"Dirección de correo electrónico", "Endereço de e-mail", "Indirizzo e-mail", "E-mailadres", "Służbowy e-mail", "メールアドレス", "電子メール アドレス", "Business Email", "Personal Email"},
		roleLinkedIn:     {"LinkedIn Contact Profile URL", "Person Linkedin Url", "linkedInProfileUrl", "Profil LinkedIn", "LinkedInプロフィール", "LinkedIn (required)", "Perfil de LinkedIn"},
		roleCompanyPage:  {"Company LinkedIn", "Company Linkedin Url", "LinkedIn der Firma", "URL LinkedIn de l'entreprise"},
		roleOrganisation: {"Organization - Name", "Company", "Account Name", "Nombre de la empresa", "Nom de l'entreprise", "Nome azienda", "Naam bedrijf", "Nazwa firmy", "会社名", "Firmenname", "Contact Company", "Associated Company", "Full Company Name", "会社名（正式名称）", "Azienda - Nome", "Name (Adressattyp Unternehmen)"},
		rolePerson:       {"Person - Name", "Imię i nazwisko", "Contact Name", "Full Name", "氏名", "Vor- und Nachname", "Organization Contact", "Account Contact"},
		roleFirstName:    {"First Name", "Vorname", "PRENOM", "Contact First Name", "Voornaam", "Imie", "fname", "Primeiro nome"},
		roleLastName:     {"Last Name", "Nachname", "Nom de famille", "Achternaam", "Nazwisko", "Sobrenome", "姓", "Cognome"},
		roleKey:          {"Organization - ID", "Customer #", "Kunden-Nr.", "Account Number", "Record ID", "Numero cliente", "顧客番号", "Company ID", "Firma Nr"},
		rolePersonKey:    {"Person - ID", "ZoomInfo Contact ID", "Contact ID"},
		roleCompanyID:    {"Lusha Company ID", "LushaAccountId"},
		rolePersonID:     {"Lusha Contact ID"},
		roleID:           {"Lusha ID", "lusha_id"},
		roleNone: {"Email Status", "Domain type", "Company Name for Emails", "Account Owner", "Parent Company Website", "Owner Email", "Company Email", "E-mail 1 - Label", "Middle Name", "Company Size",
			"Company Phone", "Job Title", "Organization Title", "Suborganization name", "Facebook Company Page", "Website Visits", "Number", "Phone Number", "Code postal", "Competitor Domain", "City", "2026", "", "#", "E-Mail-Status", "Firmenich", "Contact Number", "IP Address", "Business Address", "Account Manager", "Site Name", "Customer Type", "コーポレートカラー"},
	} {
		for _, name := range names {
			m, _, ok := meaningOf(name)
			if got := m.role; !ok && r != roleNone || ok && got != r {
				t.Errorf("meaningOf(%q) = role %d, %t, want role %d", name, got, ok, r)
			}
		}
	}
	better := func(first, second string) {
		t.Helper()
		a, _, _ := meaningOf(first)
		b, _, _ := meaningOf(second)
		if a.role != b.role || a.rank >= b.rank {
			t.Errorf("%q has role %d, rank %d, and %q has role %d, rank %d; want the same role, and the lower rank for the first", first, a.role, a.rank, second, b.role, b.rank)
		}
	}
	better("Website", "Email Domain")
	better("Domain", "Website")
	better("E-mail 1 - Value", "E-mail 2 - Value")
	better("Email", "Personal Email")
	better("Company Name", "Customer")
	better("CRM ID", "Salesforce Account Id")
}
