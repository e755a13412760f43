package sources

import "strings"

// The domain column of a company list often holds a page about the company on another site: its
// jobs in an applicant-tracking system, its profile on a network. The registrable domain of such a
// page is that of the site's owner, and requesting it would pay for the wrong company.
//
// An entry matches the host itself and every host below it, if the address has a path or is below
// the registrable domain. The bare domain ("greenhouse.io", "facebook.com") denotes the company
// that owns it. An entry with a slash also requires the first element of the path.
var sharedSites = newSiteTable(map[string]string{
	"an applicant-tracking site": `
		applicantpool.com applicantpro.com applicantstack.com applytojob.com ashbyhq.com avature.net
		bamboohr.com bamboohr.co.uk breezy.hr brassring.com careerplug.com catsone.com clearcompany.com comeet.com comeet.co
		csod.com darwinbox.com darwinbox.in dayforcehcm.com eightfold.ai fountain.com freshteam.com gohire.io greenhouse.io gupy.io
		hire.trakstar.com hirehive.com hireology.com homerun.co icims.com inhire.io isolvedhire.com jazz.co jazzhr.com
		jobscore.com jobsoid.com jobvite.com join.com joinhandshake.com kenoby.com lever.co myworkday.com myworkdayjobs.com
		myworkdaysite.com newtonsoftware.com oraclecloud.com paycomonline.net paylocity.com personio.com personio.de
		phenompeople.com pinpointhq.com polymer.co recruitee.com recruiterbox.com recruiterflow.com recruiting.com
		rippling-ats.com ats.rippling.com resumatorjobs.com saashr.com silkroad.com smartrecruiters.com
		softgarden.io successfactors.com successfactors.eu taleo.net talentlyft.com teamtailor.com traffit.com trakstar.com
		trinethire.com ultipro.com welcomekit.co workable.com workforcenow.adp.com zohorecruit.com
		zohorecruit.eu zohorecruit.in`,
	"a job board": `
		angel.co arc.dev authenticjobs.com berlinstartupjobs.com builtin.com builtinnyc.com careerbuilder.com dice.com
		glassdoor.com glassdoor.co.uk glassdoor.de himalayas.app hired.com honeypot.io hh.ru indeed.com infojobs.net
		justjoin.it landing.jobs monster.com naukri.com nofluffjobs.com otta.com remoteok.com remoteok.io remotive.com
		remotive.io seek.com.au simplyhired.com stackoverflow.com startup.jobs stepstone.de talent.io themuse.com
		totaljobs.com welcometothejungle.com weworkremotely.com wellfound.com workatastartup.com
		ycombinator.com/companies ycombinator.com/jobs ziprecruiter.com`,
	"a social network": `
		bsky.app discord.com discord.gg facebook.com fb.com fb.me instagram.com linkedin.com medium.com meetup.com ok.ru
		pinterest.com quora.com reddit.com snapchat.com t.me telegram.me threads.net tiktok.com twitch.tv twitter.com
		vimeo.com vk.com wa.me whatsapp.com x.com xing.com youtu.be youtube.com`,
	"a code host": `
		bitbucket.org dev.azure.com gist.github.com github.com gitlab.com huggingface.co npmjs.com pypi.org
		sourceforge.net visualstudio.com`,
	"a document or form host": `
		airtable.com box.com canva.com coda.io docs.google.com docsend.com drive.google.com dropbox.com dropboxusercontent.com
		figma.com forms.gle forms.office.com google.com/forms formstack.com gitbook.io jotform.com miro.com notion.site
		notion.so onedrive.live.com quip.com scribd.com sharepoint.com sites.google.com slideshare.net surveymonkey.com
		trello.com typeform.com`,
	"an app store": `apps.apple.com itunes.apple.com play.google.com chrome.google.com apps.microsoft.com appexchange.salesforce.com`,
	"a directory of companies": `
		apollo.io/companies bloomberg.com/profile capterra.com clutch.co crunchbase.com dnb.com g2.com google.com/maps
		google.com/search google.com/url maps.google.com owler.com pitchbook.com producthunt.com rocketreach.co
		tracxn.com trustpilot.com wikipedia.org wikidata.org yelp.com zoominfo.com`,
	"a page host": `
		about.me bio.link blogger.com carrd.co linktr.ee livejournal.com mystrikingly.com squarespace.com substack.com
		tumblr.com typepad.com webador.com webs.com weebly.com wix.com wordpress.com yolasite.com`,
	"an online shop or funding page": `etsy.com gofundme.com gumroad.com indiegogo.com kickstarter.com patreon.com`,
	"a web archive or cache":         `archive.org web.archive.org webcache.googleusercontent.com translate.google.com`,
	"a link shortener": `
		bit.ly buff.ly cutt.ly goo.gl hubs.ly is.gd j.mp lnkd.in ow.ly rb.gy rebrand.ly shorturl.at t.co t.ly tiny.cc
		tinyurl.com trib.al`,
})

func newSiteTable(byKind map[string]string) map[string]string {
	m := map[string]string{}
	for kind, hosts := range byKind {
		for _, h := range strings.Fields(hosts) {
			m[h] = kind
		}
	}
	return m
}

// sharedSiteKind is the kind of shared site that an address lies in; it is empty for a company's
// own site. below says that the host is below its registrable domain.
func sharedSiteKind(host, path string, below bool) string {
	first := strings.TrimLeft(path, "/")
	if i := strings.IndexAny(first, "/?#"); i >= 0 {
		first = first[:i]
	}
	if !below && ownPages[strings.ToLower(first)] {
		return ""
	}
	for h := host; ; {
		if first != "" {
			if kind := sharedSites[h+"/"+strings.ToLower(first)]; kind != "" {
				return kind
			}
		}
		if kind := sharedSites[h]; kind != "" && (below || first != "") {
			return kind
		}
		_, parent, ok := strings.Cut(h, ".")
		if !ok {
			return ""
		}
		h = parent
	}
}

// ownPages are paths that belong to the owner of the site even if the other paths belong to other
// companies: github.com/about is GitHub.
var ownPages = wordSet("about careers career")

// freeMail are public mail providers: an address there says nothing about the company. As a bare
// domain they denote themselves.
var freeMail = wordSet(`
	126.com 139.com 163.com 189.cn aol.com aol.de arcor.de att.net bellsouth.net bigpond.com bluewin.ch bol.com.br btinternet.com
	charter.net comcast.net cox.net daum.net duck.com earthlink.net email.com fastmail.com fastmail.fm foxmail.com free.fr
	freenet.de frontier.com gmail.com gmx.at gmx.ch gmx.com gmx.de gmx.net googlemail.com hanmail.net hey.com hotmail.ca
	hotmail.co.uk hotmail.com hotmail.de hotmail.es hotmail.fr hotmail.it hushmail.com icloud.com ig.com.br inbox.lv inbox.ru
	interia.pl juno.com laposte.net libero.it list.ru live.ca live.co.uk live.com live.de live.fr live.nl mac.com mail.com
	mail.de mail.ru me.com msn.com naver.com netzero.net o2.pl op.pl optonline.net orange.fr outlook.com outlook.de outlook.es
	outlook.fr outlook.it pm.me posteo.de proton.me protonmail.com protonmail.ch qq.com rambler.ru rediffmail.com
	rocketmail.com sbcglobal.net seznam.cz sfr.fr shaw.ca sina.cn sina.com skynet.be sohu.com sympatico.ca t-online.de
	telus.net terra.com.br tiscali.it tuta.io tutanota.com ukr.net uol.com.br verizon.net virgilio.it wanadoo.fr web.de
	windowslive.com wp.pl yahoo.ca yahoo.co.in yahoo.co.jp yahoo.co.uk yahoo.com yahoo.com.ar yahoo.com.au yahoo.com.br
	yahoo.com.mx yahoo.de yahoo.es yahoo.fr yahoo.in yahoo.it yandex.com yandex.ru yeah.net ymail.com ziggo.nl zoho.com zohomail.com`)

// linkedInSections are pages on LinkedIn that are not a public profile.
var linkedInSections = map[string]string{
	"company":   "a company page",
	"school":    "a school page",
	"showcase":  "a showcase page",
	"sales":     "a Sales Navigator link, which only its owner can open",
	"recruiter": "a Recruiter link, which only its owner can open",
	"talent":    "a Recruiter link, which only its owner can open",
	"profile":   "an internal profile link",
	"groups":    "a group",
	"posts":     "a post",
	"feed":      "a post",
	"pulse":     "an article",
	"jobs":      "a job post",
	"search":    "a search",
	"redir":     "a redirect",
	"learning":  "a course",
	"products":  "a product page",
	"events":    "an event",
}

func wordSet(words string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(words) {
		m[w] = true
	}
	return m
}
