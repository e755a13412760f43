package sources

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/text/encoding/charmap"
)

// namesIn are names of companies in the code pages that lists are exported in.
var namesIn = []struct{ encoding, names string }{
	{"windows-1251", "Северный ветер\nЮжная звезда\nВосточная река\nГазпром\nЛукойл\nСбербанк России\nСеверсталь\nНорильский никель\nТатнефть\nМагнит\nАэрофлот\nЯндекс\nРусгидро"},
	{"koi8-r", "Северный ветер\nЮжная звезда\nВосточная река\nГазпром\nЛукойл\nСбербанк России\nСеверсталь\nНорильский никель\nТатнефть\nМагнит\nАэрофлот\nЯндекс\nРусгидро"},
	{"ibm866", "Северный ветер\nЮжная звезда\nВосточная река\nГазпром\nЛукойл\nСбербанк России\nСеверсталь\nНорильский никель\nТатнефть"},
	{"gbk", "北风有限公司\n南星有限公司\n中国石油化工集团公司\n华为技术有限公司\n阿里巴巴集团\n腾讯控股有限公司\n中国移动通信\n联想集团\n小米科技\n京东集团\n美的集团股份有限公司"},
	{"shift_jis", "北浪株式会社\n東風株式会社\n青山商事\nトヨタ自動車株式会社\nソニー株式会社\n株式会社日立製作所\n三菱商事\n本田技研工業\nパナソニック株式会社\n任天堂株式会社\nキヤノン\n富士通株式会社"},
	{"euc-jp", "北浪株式会社\n東風株式会社\n青山商事\nトヨタ自動車株式会社\nソニー株式会社\n株式会社日立製作所\n三菱商事\n本田技研工業\nパナソニック株式会社\n任天堂株式会社\nキヤノン\n富士通株式会社"},
	{"euc-kr", "삼성전자\n현대자동차\n엘지전자\n포스코\n기아자동차\n한국전력공사\n네이버\n카카오\n롯데쇼핑\n대한항공"},
	{"big5", "台灣積體電路製造股份有限公司\n鴻海精密工業\n聯發科技\n中華電信\n台塑石化\n國泰金控\n富邦金控\n統一企業"},
	{"windows-1250", "Škoda Plzeň\nČeská spořitelna\nKomerční banka\nŽelezárny Třinec\nPivovary Staropramen\nMoravské naftové doly\nDvořák a synové\nMěstské lesy\nKůrka"},
	{"windows-1250", "Żabka Polska\nŁódzka Spółka\nPolska Miedź\nGrupa Żywiec\nPolskie Górnictwo Naftowe\nZakłady Azotowe w Tarnowie Mościcach\nGdańska Stocznia\nWęgiel"},
	{"windows-1250", "Győri Keksz\nMagyar Posta\nGödöllői Erdő\nÁllami Nyomda\nTűzép\nElső Magyar Szőlő\nMűszaki Bolt\nKörös"},
	{"windows-1254", "Türkiye İş Bankası\nŞişecam\nDoğuş Otomotiv\nKoç Holding\nEczacıbaşı\nArçelik\nTüpraş\nYapı Kredi\nÜlker"},
	{"windows-1257", "Lietuvos geležinkeliai\nŽemaitijos pienas\nVilniaus prekyba\nKauno grūdai\nŠiaulių bankas\nPanevėžio keliai\nRokiškio sūris"},
	{"windows-1253", "Εθνική Τράπεζα\nΑλφα Τράπεζα\nΟργανισμός Τηλεπικοινωνιών\nΔημόσια Επιχείρηση Ηλεκτρισμού\nΕλληνικά Πετρέλαια\nΑεροπορία Αιγαίου"},
	{"windows-1255", "בנק הפועלים\nבנק לאומי\nטבע תעשיות\nאלביט מערכות\nשטראוס\nשופרסל"},
	{"windows-1252", "Müller\nCafé “Noir”\nMüller – Söhne\nBäckerei Schäfer\nStraßenbau Süd\nÖkostrom AG\nGrün & Söhne\nHäfele\nWürth"},
	{"windows-1252", "Société Générale\nCrédit Agricole\nHermès\nL’Oréal\nGroupe Casino\nPeugeot Citroën\nÉlectricité de France\nChâteau Margaux\nBâtiments et Ponts\nCompagnie Générale des Établissements\nGénéthon À Table"},
	{"windows-1252", "Telefónica\nEspaña S.A.\nCompañía de Petróleos\nAções e Participações\nPetróleo Brasileiro\nSão Paulo Alpargatas\nPão de Açúcar"},
	{"windows-1252", "Ørsted\nMærsk\nAalborg Værft\nSkånska Dagbladet\nRåå Varv\nKøbenhavns Lufthavne\nTrygghansa Försäkring"},
	{"windows-1252", "Società Ligure\nCittà Nuova\nPiù Libri\nCaffè Vergnano\nPerù Moda"},
	{"macintosh", "Müller GmbH\nBäckerei Schäfer\nStraßenbau Süd\nÖkostrom AG\nGrün & Söhne\nHäfele"},
	{"macintosh", "Société Générale\nCrédit Agricole\nHermès\nPeugeot Citroën\nÉlectricité de France\nChâteau Margaux"},
	{"ibm850", "Müller GmbH\nBäckerei Schäfer\nStraßenbau Süd\nÖkostrom AG\nGrün & Söhne\nHäfele"},
	{"ibm852", "Škoda Plzeň\nČeská spořitelna\nKomerční banka\nŽelezárny Třinec\nMoravské naftové doly\nDvořák a synové"},
}

// TestGuessEncoding guesses the encoding of every part of lists of names. A list may be refused, if
// it is short; it is never read as something else.
func TestGuessEncoding(t *testing.T) {
	t.Parallel()
	for _, c := range namesIn {
		e, _, ok := namedEncoding(c.encoding, "")
		if !ok {
			t.Fatalf("namedEncoding(%q) knows it not", c.encoding)
		}
		names := strings.Split(c.names, "\n")
		read, parts := 0, 0
		for from := range names {
			for to := from + 1; to <= len(names); to++ {
				text := "Company\n" + strings.Join(names[from:to], "\n") + "\n"
				raw, err := e.NewEncoder().Bytes([]byte(text))
				if err != nil {
					t.Fatal(err)
				}
				if countUTF8(raw).bad == 0 {
					continue
				}
				parts++
				decoded, name, err := decodeText(&preview{r: bytes.NewReader(raw)}, "")
				if err != nil || name == utf8Name { // refused: the file, or the lines that are not valid
					continue
				}
				head, _ := decoded.peek(sampleSize)
				if string(head) != text {
					t.Errorf("a list in %s is read as %s: %q, want %q", c.encoding, name, head, text)
					continue
				}
				read++
			}
		}
		raw, _ := e.NewEncoder().Bytes([]byte(c.names))
		if _, _, err := decodeText(&preview{r: bytes.NewReader(raw)}, ""); err != nil {
			t.Errorf("%s, all %d names: %v", c.encoding, len(names), err)
		}
		t.Logf("%-13s %-12.12q: %d of %d parts are read", c.encoding, c.names, read, parts)
	}
}

// TestNamedEncoding finds encodings by what users write.
func TestNamedEncoding(t *testing.T) {
	t.Parallel()
	for label, want := range map[string]string{
		"utf-8": "utf-8", "UTF8": "utf-8", "utf_16": "utf-16le", "UTF-16BE": "utf-16be", "latin1": "windows-1252", "ISO-8859-1": "windows-1252",
		"cp1251": "windows-1251", "Shift-JIS": "shift_jis", "sjis": "shift_jis", "cp932": "shift_jis", "gb2312": "gbk", "gb18030": "gb18030", "big5": "big5",
		"euc-kr": "euc-kr", "iso-8859-2": "iso-8859-2", "koi8-u": "koi8-u", "macintosh": "macintosh", "cp850": "ibm850", "iso-2022-jp": "iso-2022-jp",
		"ebcdic": "", "iso-2022-kr": "", "x-user-defined": "", "": "",
	} {
		e, name, ok := namedEncoding(label, "")
		if name != want || ok != (want != "") || ok && e == nil && want != utf8Name {
			t.Errorf("namedEncoding(%q) = %v, %q, %t, want %q", label, e, name, ok, want)
		}
	}
}

// TestMojibake finds names that a wrong conversion damaged, and no others.
func TestMojibake(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"MÃ¼ller", "CafÃ©", "SociÃ©tÃ© GÃ©nÃ©rale", "LÓreal â€“ Paris", "Nestlâ€™s", "Þæíàÿ çâåçäà", "ÄÏÐÇÓÐÏÞ¹«Ë¾", "–k•—Š”Ž®‰ïŽÐ", "Ñåâåðíûé âåòåð",
		"РЎРµРІРµСЂРЅС‹Р№ РІРµС‚РµСЂ", "M√ºller", "M├╝ller", "Soci├®t├®", "åŒ—æµªæ ªå¼ä¼šç¤¾", "锟斤拷公司", "繝医Κ繧ｿ閾ｪ蜍戊ｻ�", "ÐÐ¾ÑÐºÐ²Ð°", "Å\u0081Ã³dÅº",
	} {
		if !mojibake(name) {
			t.Errorf("mojibake(%q) = false, want true", name)
		}
	}
	for _, c := range namesIn {
		for name := range strings.SplitSeq(c.names, "\n") {
			if mojibake(name) {
				t.Errorf("mojibake(%q) = true, want false", name)
			}
		}
	}
	for _, name := range []string{
		"Nestlé®", "CAFÉ®", "CAFÉ™", "“CAFÉ”", "Łódź", "Þórunn hf.", "Åland", "Éé", "Năm Căn", "Công ty Cổ phần Sữa Việt Nam", "H₂O", "Straße", "Œuvre", "Ñandú",
		"Société Générale – Paris", "Kärcher®", "Beyoncé™", "Citroën", "Ğ", "Вісник", "Ві", "ÄÖÜ", "L’Été", "Ça Va", "№1 Україна", "Ó Súilleabháin", "Müller®", "SÃO PAULO", "Âncora", "ÂÂ",
	} {
		if mojibake(name) {
			t.Errorf("mojibake(%q) = true, want false", name)
		}
	}
}

// wordsIn are words of names in the languages of some code pages.
var wordsIn = []struct {
	encodings string
	languages []string
}{
	{"windows-1252 macintosh ibm850", []string{
		"Müller Weiß Großmann Strauß Köln Jäger Schröder Böhm Krüger Schäfer Straße Bäcker Grün Gräßle Süß Fröhlich Düsseldorf Österreich Übersee Ärzte Brücke Höß",
		"Société Générale Crédit Électricité François Hélène Orléans Côte Bâtiment Forêt Château Citroën Évian Française Théâtre Énergie Marché Créteil Fenêtre",
		"España Peña Núñez Muñoz Compañía Construcción José Martínez García Telefónica Málaga Cádiz Gestión Díaz Rodríguez Jiménez",
		"São João Conceição Construções Irmãos Comércio Indústria Fundação Serviços Antônio Açúcar Gestão Automóveis Português Goiânia",
		"Jørgensen Søren Ærø Åbo Bjørn Håkon Tromsø Bodø Ørsted Møller Færge Sjælland Århus Kjær Nørgaard Lærke Ålborg Kødbyen",
		"Ångström Malmö Åkesson Björk Göteborg Västerås Hämeenlinna Jyväskylä Södra Öresund Lindström Sjöberg Nyström Mäkinen",
		"Þór Reykjavík Sigurðsson Jónsdóttir Guðmundur Eyþór Hafnarfjörður Bláa Íslandsbanki",
	}},
	{"windows-1250", []string{
		"Dvořák Plzeň Černý Jiří Novák Řezník Pekař Škoda Žižka Třinec Kovář České Hradec Králové Příbram Dům Údolí Město Pražská Křížek",
		"Łódź Kraków Wałęsa Spółka Żywiec Gdańsk Księgarnia Śląsk Przedsiębiorstwo Poznań Usługi Źródło Zakłady",
		"Győr Szövetkezet Kőbánya Fűszer Magyarország Építő Zöldség Kecskemét Székesfehérvár Tőke Hűtő",
		"Müller Weiß Großmann Köln Jäger Schröder Böhm Krüger Schäfer Straße",
	}},
	{"windows-1254", []string{
		"Ayşe Işık İzmir Çağlar Muğla Şirketi Gıda İnşaat Türkiye Ağaoğlu Beşiktaş Güneş Yıldız Kılıç Doğan", "Müller Weiß Großmann Köln Jäger Schröder",
	}},
	{"windows-1257", []string{
		"Žemaitija Šiauliai Lietuvių Įmonė Bendrovė Ąžuolas Kūrėjas Rūta", "Rīga Liepāja Sabiedrība Ēdnīca Būvniecība Latvijā Šķērsiela Ģimene", "Õismäe Jõgeva Põhja Tööstus Võru Ühistu Kõrts",
	}},
}

// TestGuessLanguages guesses the encoding of lists with names of several languages, also on one line. Most are read, and none
// as something else; in the code pages of DOS and the Macintosh, which few lists are in, one in a hundred may be.
func TestGuessLanguages(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(24, 1))
	pick := func(words []string) string { return words[rng.IntN(len(words))] }
	const lists = 300
	for _, c := range wordsIn {
		for name := range strings.FieldsSeq(c.encodings) {
			e, _, _ := namedEncoding(name, "")
			read, wrong := 0, 0
			for range lists {
				languages := []string{pick(c.languages), pick(c.languages), pick(c.languages)}
				var want []string
				var lines [][]byte
				for range 5 + rng.IntN(25) {
					line := pick(strings.Fields(pick(languages))) + " & " + pick(strings.Fields(pick(languages)))
					if raw, err := e.NewEncoder().Bytes([]byte(line)); err == nil { // the page has all letters
						want, lines = append(want, line), append(lines, raw)
					}
				}
				guessed := guessLatin(lines)
				if guessed == "" {
					continue
				}
				found, _, _ := namedEncoding(guessed, "")
				got, _ := found.NewDecoder().Bytes(bytes.Join(lines, []byte("\n")))
				if string(got) == strings.Join(want, "\n") {
					read++
					continue
				}
				if wrong++; wrong > lists/100 || strings.HasPrefix(name, "windows") {
					t.Errorf("a list in %s is read as %s: %q", name, guessed, got)
				}
			}
			if t.Logf("%-13s %d of %d lists are read", name, read, lists); read < lists*85/100 {
				t.Errorf("%s: %d of %d lists are read, want 85 in a hundred", name, read, lists)
			}
		}
	}
	for text, want := range map[string]string{
		"Weiß & Ångström\nGroßmann Søren\nMüller\nJørgensen Åbo\nStraße Ærø":  cp1252Name,
		"Weiß Tromsø\nGroßmann Århus\nStrauß Malmö\nVoß Ålesund\nHeß Horsens": cp1252Name,
		"São\nJoão\nIrmãos\nSebastião":                                        "", // or Romanian ă
		"Weiß\nGroß\nKøge":                                                    "", // or Czech ř
	} {
		raw, err := charmap.Windows1252.NewEncoder().Bytes([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := guessLatin(bytes.Split(raw, []byte("\n"))); got != want {
			t.Errorf("guessLatin(%q in Windows-1252) = %q, want %q", text, got, want)
		}
	}
}
